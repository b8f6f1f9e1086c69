"""Detectors: their table, how they are opened, and what each of them finds."""

import gc
import importlib
import re
import tracemalloc
import weakref
from pathlib import Path
from types import SimpleNamespace

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


@pytest.fixture(scope="module")
def blazepose():
    pytest.importorskip("mediapipe", reason="needs the detector: pip install 'epitool[mediapipe]' (Python up to 3.12)")
    return open_detector("mediapipe")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """Images of a person from four sides, and the truth."""
    from epitool.images import read_images
    from epitool.synthetic import render_scene

    truth = render_scene(tmp_path_factory.mktemp("scene"), frames=4)
    return [image for _, image in read_images(truth.keypoints.images.ravel().tolist())], truth


def test_blazepose_finds_the_rendered_person_once(blazepose, rendered):
    images, truth = rendered
    errors = []
    for image, exact in zip(images, truth.keypoints.xy.reshape(-1, 17, 2), strict=True):
        (xy, *others), (confidence, *_), _ = people_found(blazepose, image)
        assert not others
        for joint in ("left_shoulder", "right_hip", "left_knee"):
            j = blazepose.skeleton.index(joint)
            if confidence[j] > 0.5:
                errors.append(np.linalg.norm(xy[j] - exact[truth.poses.skeleton.index(joint)]))
    assert len(errors) > 30
    assert np.median(errors) < 6


def test_blazepose_answers_as_mediapipe_does_for_one_person(blazepose, rendered):
    from mediapipe.python.solutions.pose import Pose

    with Pose(static_image_mode=True, model_complexity=1) as own:
        for image in rendered[0][:6]:
            seen, height, width = own.process(image), *image.shape[:2]
            (xy,), (confidence,), (xyz,) = people_found(blazepose, image)
            found, in_space = seen.pose_landmarks.landmark, seen.pose_world_landmarks.landmark
            np.testing.assert_array_equal(xy, [[p.x * width - 0.5, p.y * height - 0.5] for p in found])
            np.testing.assert_array_equal(confidence, [p.visibility for p in found])
            np.testing.assert_array_equal(xyz, [[1000 * p.x, 1000 * p.y, 1000 * p.z] for p in in_space])


def test_blazepose_finds_each_of_several_people(blazepose, rendered):
    images, truth = rendered
    halves, alone = [], []
    for number, left in ((0, 0), (5, 180)):
        middle = truth.keypoints.xy.reshape(-1, 17, 2)[number, :, 0].mean()
        start = int(middle) - 90
        halves.append(images[number][:, start : start + 180])
        alone.append(people_found(blazepose, images[number]).xy[0] + [left - start, 0])
    xy, confidence, xyz = people_found(blazepose, np.hstack(halves))
    assert (xy.shape, confidence.shape, xyz.shape) == ((2, 33, 2), (2, 33), (2, 33, 3))
    body = [blazepose.skeleton.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("shoulder", "hip")]
    found = xy[np.argsort(xy[:, body, 0].mean(axis=1))]
    assert np.linalg.norm(found - alone, axis=-1)[:, body].max() < 15


def test_blazepose_looks_where_a_person_is_alone_and_in_a_turned_crop(blazepose, rendered, monkeypatch):
    """Joints are in the image's axes. With nobody else there the first look is as ever; one without a turn is near."""
    image = rendered[0][0]
    as_ever, _, own = blazepose.detect(image)
    (plain, (xy, confidence, xyz)), _ = blazepose.follow(image, (), alone=True, turned=True)
    assert 0 < np.median(np.linalg.norm(plain[0] - as_ever, axis=-1)) < 1  # of 150 px
    assert (xy.shape, confidence.shape, xyz.shape) == ((1, 33, 2), (1, 33), (1, 33, 3))
    assert 0 < np.median(np.linalg.norm(xy - as_ever, axis=-1)) < 10
    assert np.median(np.linalg.norm(xyz - own, axis=-1)) < 150
    assert len(blazepose.follow(image, (), alone=True, turned=False)[0]) == 1
    monkeypatch.setattr("epitool.detectors.blazepose._TURN", 0.0)
    monkeypatch.setattr("epitool.detectors.blazepose._LED_ASTRAY", -1.0)  # so that the look in grey surroundings counts
    (alone, unturned), _ = blazepose.follow(image, (), alone=True, turned=True)
    np.testing.assert_array_equal(alone[0], unturned[0])
    monkeypatch.setattr("epitool.detectors.blazepose._SHOWN", -1.0)  # so that nothing becomes grey
    (as_it_is, _), _ = blazepose.follow(image, (), alone=True, turned=True)
    np.testing.assert_allclose(as_it_is[0], plain[0], atol=0.1)


def test_blazepose_looks_next_where_the_person_is_seen_also_at_the_image_s_edge(blazepose, rendered):
    """The crop for the next image is the one that mediapipe finds in the whole image."""
    image, truth = rendered[0][0], rendered[1].keypoints.xy.reshape(-1, 17, 2)[0]
    for left in (0, int(truth[:, 0].min()) - 3):
        cut = np.ascontiguousarray(image[:, left:])
        (whole,), (_, (person,)) = (
            blazepose._everyone(cut, (), blazepose._seen),
            blazepose.follow(cut, (), alone=True, turned=False),
        )
        for name in ("x_center", "y_center", "width", "height", "rotation"):
            expected = getattr(whole.next_crop, name)
            assert getattr(person.next_crop, name) == pytest.approx(expected, rel=0.05, abs=0.02)


def test_what_is_around_a_person_becomes_grey_and_the_person_stays(blazepose, rendered):
    """At the image's edge, too: what lies beyond is black before it is grey."""
    from epitool.detectors.blazepose import _GREY, _PART

    images, truth = rendered
    trunk = [truth.poses.skeleton.index(name) for name in ("pelvis", "thorax", "left_knee", "right_knee")]
    for image, xy in zip(images[:4], truth.keypoints.xy.reshape(-1, 17, 2)):
        for left in (0, int(xy[:, 0].min()) - 3):
            cut = np.ascontiguousarray(image[:, left:])
            _, (person,) = blazepose.follow(cut, (), alone=True, turned=False)
            part = person.alone
            for x, y in xy[trunk] - [left, 0]:
                x_part, y_part = np.round(([x, y] - part.corner) * _PART / part.side).astype(int)
                here = cut[round(y) - 2 : round(y) + 3, round(x) - 2 : round(x) + 3].reshape(-1, 3)
                shown = part.image[y_part, x_part]
                assert (shown != _GREY).any()
                assert ((shown >= here.min(axis=0).astype(int) - 2) & (shown <= here.max(axis=0).astype(int) + 2)).all()
            for y, x in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
                assert (part.image[y, x] == _GREY).all()


def test_a_person_who_fills_a_huge_image_is_not_copied_at_full_size():
    """What is shown of them stays where it is."""
    from epitool.detectors.blazepose import _PART, _part_around

    x, y = np.meshgrid(np.linspace(0, 255, 9000), np.linspace(0, 255, 500))
    image = np.stack([x, y, y], axis=-1).astype(np.uint8)
    tracemalloc.start()
    part = _part_around(image, SimpleNamespace(x_center=0.4, y_center=0.6, width=1.0, height=1.0, rotation=0.0))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 200e6
    at = np.rint((np.array([[2000, 150], [7000, 350]]) - part.corner) * (_PART / part.side) - 0.5).astype(int)
    expected = [image[round(py), round(px)] for px, py in part.corner + (at + 0.5) * (part.side / _PART)]
    np.testing.assert_allclose(part.image[at[:, 1], at[:, 0]], expected, atol=6)


def test_looks_leave_no_masks_behind(blazepose, rendered, monkeypatch):
    """What mediapipe answers with is freed by the collector alone, which comes too seldom for a stream."""
    masks, process = [], blazepose._masks.process

    def watched(packets):
        found = process(packets)
        masks.append(weakref.ref(found.mask))
        return found

    monkeypatch.setattr(blazepose._masks, "process", watched)
    gc.disable()
    try:
        blazepose.follow(rendered[0][0], (), alone=True, turned=False)
    finally:
        gc.enable()
    assert masks
    assert all(mask() is None for mask in masks)


def test_blazepose_tells_who_is_found_twice():
    from epitool.detectors.blazepose import found_among

    person, trunk = np.random.default_rng(0).uniform(0, 100, (33, 2)), [11, 12, 23, 24]
    again, upside_down = person + 10, 2 * person[trunk].mean(axis=0) - person
    beside, small = person + np.array([50, 0]), 0.2 * person
    assert found_among(again, [beside, person], trunk)
    assert found_among(upside_down, [person], trunk)
    assert not found_among(beside, [person, again], trunk)
    assert not found_among(small, [person, beside], trunk)
    assert not found_among(person, [], trunk)


def test_where_blazepose_looks_next_depends_on_this_image_alone(blazepose, rendered):
    """Not on whom the network has seen before: mediapipe's own filter would mix the places of all crops."""
    image = rendered[0][0]
    (first,) = blazepose.follow(image, (), alone=False, turned=False)[1]
    blazepose.follow(np.ascontiguousarray(image[:, ::-1]), (), alone=False, turned=False)
    (again,) = blazepose.follow(image, (), alone=False, turned=False)[1]
    assert again.next_crop == first.next_crop


def test_blazepose_follows_who_is_in_view_and_nobody_else(blazepose, rendered, monkeypatch):
    image, later = rendered[0][0], rendered[0][4]  # of one view
    ((alone, *_),), people = blazepose.follow(image, (), alone=False, turned=False)
    ((again, *_),), followed = blazepose.follow(image, people, alone=False, turned=False)
    np.testing.assert_array_equal(alone, again)
    assert len(followed) == 1
    found = blazepose.detect(later)[0]
    monkeypatch.setattr(blazepose, "_crops", SimpleNamespace(process=lambda image: SimpleNamespace(crops=None)))
    assert not len(blazepose.detect(later)[0])
    ((by_track, *_),), _ = blazepose.follow(later, people, alone=False, turned=False)
    assert by_track.shape == found.shape
    assert np.median(np.linalg.norm(by_track - found, axis=-1)) < 3
    ((nobody, *_),), gone = blazepose.follow(np.full_like(image, 127), people, alone=False, turned=False)
    assert not len(nobody)
    assert not gone


def test_blazepose_finds_nobody_where_nobody_is(blazepose):
    xy, confidence, xyz = blazepose.detect(np.full((64, 96, 3), 127, np.uint8))
    assert (xy.shape, confidence.shape, xyz.shape) == ((0, 33, 2), (0, 33), (0, 33, 3))
