"""Detectors: their table, how they are opened, and what each of them finds."""

import importlib
import re
from pathlib import Path

import numpy as np
import pytest

from epitool.detectors import DETECTORS, Entry, known_detector, open_detector
from epitool.detectors.finding import people_found
from epitool.errors import CheckpointError, InputError, UsageError
from epitool.skeleton import skeleton


@pytest.mark.parametrize("name", DETECTORS)
def test_lines_of_the_table_lead_to_what_they_name(name):
    module, _, opener = DETECTORS[name].opener.partition(":")
    assert callable(getattr(importlib.import_module(f"epitool.detectors.{module}"), opener))
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert DETECTORS[name].extra is None or re.search(rf"^{DETECTORS[name].extra} = \[", project, re.MULTILINE)
    docs = (Path(__file__).parents[2] / "docs/detectors.md").read_text(encoding="utf-8")
    assert f"| `{name}` |" in docs


def test_a_detector_is_known_by_its_line_alone(monkeypatch, tmp_path):
    from epitool import detectors

    (tmp_path / "brightest.py").write_text(
        "class Brightest:\n    def __init__(self, device):\n        self.at = device\n"
    )
    monkeypatch.setattr(detectors, "__path__", [*detectors.__path__, str(tmp_path)])
    monkeypatch.setitem(DETECTORS, "brightest", Entry("brightest:Brightest"))
    assert open_detector("brightest", "cuda:3").at == "cuda:3"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("rtmpos", "rtmpose"),
        ("RTMO", "rtmo"),
        ("blaze_pose", "mediapipe"),
        ("whole-body", "wholebody"),
        ("rtm", "rtmpose"),
    ],
)
def test_the_nearest_name_is_offered(name, meant):
    with pytest.raises(
        UsageError, match=f"no detector is named '{name}'; did you mean {meant}[?] known are mediapipe,"
    ):
        known_detector(name)


def test_names_that_look_like_paths_are_those_of_checkpoints(tmp_path):
    for name in ("model.onnx", "runs/a/model", "released.pth.tar"):
        assert known_detector(name) == name
        with pytest.raises(InputError, match=f"{name}: no such file"):
            open_detector(name)
    (tmp_path / "model").write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match="model"):
        open_detector(str(tmp_path / "model"))


def test_a_package_that_is_broken_is_named_with_its_extra(monkeypatch):
    def broken(device):
        raise ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.setattr("epitool.detectors.blazepose.BlazePose", broken)
    with pytest.raises(UsageError, match=r"detector mediapipe: libGL\.so\.1.*'epitool\[mediapipe\]'` \(Python up to"):
        open_detector(None)


class One:
    """Finds somebody in an image that is not black, without an axis of people."""

    name, skeleton = "one", skeleton("coco17")

    def detect(self, image):
        level = float(image.mean()) or np.nan
        return np.full((17, 2), level), np.ones(17) * np.isfinite(level)


class Two(One):
    def detect(self, image):
        return np.stack([np.linspace([9.0, 0.0], [9.0, 90.0], 17), np.ones((17, 2))]), np.ones((2, 17))


def test_a_detector_of_one_person_may_leave_out_the_axis_of_people():
    image = np.full((8, 8, 3), 9, np.uint8)
    assert people_found(One(), image)[0].shape == (1, 17, 2)
    assert people_found(One(), 0 * image)[0].shape == (0, 17, 2)
    np.testing.assert_array_equal(people_found(Two(), image)[0], Two().detect(image)[0])


def test_unknown_detectors_are_named():
    with pytest.raises(UsageError, match="no detector is named 'crystal'; known are mediapipe, keypointrcnn"):
        open_detector("crystal")


def test_without_a_detector_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("epitool.detectors.importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'epitool\[mediapipe\]'"):
        open_detector(None)


@pytest.fixture
def detection():
    """torchvision's detection networks, where its compiled operators fit torch."""
    torch = pytest.importorskip("torch")
    try:
        from torchvision.models import detection
        from torchvision.ops import nms

        nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except (RuntimeError, NotImplementedError) as error:
        with pytest.raises(UsageError, match="install builds of torch and torchvision that belong together"):
            open_detector("keypointrcnn")
        pytest.skip(f"torchvision's operators do not load here: {str(error).splitlines()[0]}")
    return detection


def test_keypointrcnn_without_a_network_says_where_its_weights_go(detection, monkeypatch):
    def offline(weights):
        raise OSError("no route to host")

    monkeypatch.setattr(detection, "keypointrcnn_resnet50_fpn", offline)
    with pytest.raises(UsageError, match=r"cannot be downloaded \(no route to host\).*keypointrcnn_resnet50_fpn"):
        open_detector("keypointrcnn")


def test_keypointrcnn_with_random_weights_is_sure_of_nobody(detection, monkeypatch):
    network = detection.keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    network.roi_heads.box_predictor.cls_score.bias.data[1] = -50.0  # where random weights alone might see someone
    monkeypatch.setattr(detection, "keypointrcnn_resnet50_fpn", lambda weights: network)
    xy, confidence = open_detector("keypointrcnn").detect(np.zeros((64, 64, 3), np.uint8))
    assert xy.shape == (0, 17, 2)
    assert confidence.shape == (0, 17)


def test_keypointrcnn_gives_everybody_it_is_sure_of(detection, monkeypatch):
    import torch

    class Network(torch.nn.Module):
        def forward(self, images):
            scores = torch.tensor([0.9, 0.8, 0.3])
            return [{"scores": scores, "keypoints": torch.ones(3, 17, 3), "keypoints_scores": torch.zeros(3, 17)}]

    monkeypatch.setattr(detection, "keypointrcnn_resnet50_fpn", lambda weights: Network())
    xy, confidence = open_detector("keypointrcnn").detect(np.zeros((64, 64, 3), np.uint8))
    assert xy.shape == (2, 17, 2)
    np.testing.assert_array_equal(confidence, 0.5)
