"""What is made of a network's answers, and that it does not depend on batches, threads or what computes."""

import threading
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from epitool.errors import CheckpointError, InputError, UsageError
from epitool.nn import inference
from epitool.nn.card import ModelCard
from epitool.nn.checkpoint import Model
from epitool.nn.crops import bones, labels_to_volume
from epitool.nn.inference import NOTHING_KNOWN, KnownCameras, check_depth, predict_images
from epitool.nn.network import build_network, convert_crops
from epitool.nn.soft_argmax import _Moments, soft_argmax
from epitool.nn.torch_engine import TorchEngine, fold_batch_norm
from epitool.options import PredictOptions
from epitool.options.network import SMALL
from epitool.parallel import drawn_ahead
from epitool.skeleton import skeleton
from epitool.stages import predict
from epitool.stages.scoring import pairing
from epitool.stages.scoring.everyone import Everyone
from epitool.stages.scoring.truth import Truth
from epitool.synthetic import labels_of, walking_room
from epitool.synthetic.motion import random_motion

H36M = skeleton("h36m17")
FRAMES = 8


class Echo:
    """Answers with what it was given to know, in the order of the crops."""

    def __init__(self, volume: np.ndarray) -> None:
        lengths = np.full(len(bones(H36M)), 200.0)
        self.card = ModelCard(SMALL, H36M, np.full(17, True), lengths, 1.0, "mm", "made up", "abc", 1, 0.0, 0.9)
        self._volume, self._next = volume, 0

    def __call__(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        start, self._next = self._next, self._next + len(crops)
        return self._volume[start : self._next], np.full((len(crops), 17), 0.9)


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """Labels whose images are there, all black: the network that looks at them knows the answers."""
    folder, rig = tmp_path_factory.mktemp("footage"), walking_room()
    names = np.array([[str(folder / f"{v}-{f}.jpg") for v in range(len(rig))] for f in range(FRAMES)])
    for name in names.ravel():
        cv2.imwrite(name, np.zeros((1000, 1000, 3), np.uint8))
    return labels_of(random_motion(FRAMES, seed=2).xyz, rig, names)


def through_a_lens(labels):
    """The same motion seen by lenses as Human3.6M's."""
    lens = [-0.2, 0.24, -0.001, -0.003, -0.002]
    rig = replace(labels.rig, cameras=tuple(replace(camera, distortion=lens) for camera in labels.rig.cameras))
    return labels_of(labels.poses.xyz, rig, labels.keypoints.images)


def answers(labels) -> np.ndarray:
    seen = labels.in_cameras
    volume, _ = labels_to_volume(seen, labels.project_own(seen), labels.intrinsics, labels.keypoints.boxes(), H36M)
    return volume.reshape(-1, 17, 3)


def truth_of(labels):
    """Labels as `evaluate` reads them."""
    frames = labels.poses.frames
    person = Everyone(labels, np.full(len(frames), "person1"), frames, {"person1": None}, labels.recording_id)
    clips = np.zeros(len(frames), int)
    return Truth("labels.h5", labels.in_cameras, H36M, "mm", "made up", clips, None, "all", person)


def test_a_lens_that_is_known_moves_no_joint(truth, monkeypatch):
    bent = through_a_lens(truth)
    assert np.abs(bent.keypoints.xy - truth.keypoints.xy).max() > 5
    target = truth_of(bent)
    exact = bent.in_cameras - bent.in_cameras[:, :, [0]]
    monkeypatch.setattr(inference, "open_engine", lambda path, device: Echo(answers(bent)))
    found = pairing._run_model("model.pt", target, "all", "cpu", "epipolarpose")
    assert np.abs(found.xyz - exact[found.frames, found.views]).max() < 0.1


def test_authors_protocol_alone_is_given_the_truth(truth, monkeypatch):
    target = truth_of(truth)
    exact = truth.in_cameras - truth.in_cameras[:, :, [0]]
    monkeypatch.setattr(inference, "open_engine", lambda path, device: Echo(answers(truth)))
    for protocol, most_mm in (("epipolarpose", 0.1), ("standard", np.inf)):
        found = pairing._run_model("model.pt", target, "all", "cpu", protocol)
        error = np.abs(found.xyz - exact[found.frames, found.views]).max()
        assert error < most_mm
    assert error > 50  # other bones, another focal length
    assert "true" not in found.provenance["depth"]


def test_root_depth_fixes_the_size(truth):
    names, boxes = truth.keypoints.images.ravel().tolist(), truth.keypoints.boxes().reshape(-1, 4)
    near, far = (
        predict_images(Echo(answers(truth)), names, boxes, 5, KnownCameras(None, np.full(len(names), d), "given"))
        for d in (2000.0, 4000.0)
    )
    np.testing.assert_allclose(far.joints_3d, 2 * near.joints_3d)
    assert far.provenance["scale_source"] == "given"
    assert "assumed" in far.provenance["camera"]


@pytest.mark.parametrize("depth", [0.0, -1.0, np.nan, np.inf])
def test_root_depth_that_is_no_distance_is_refused(depth):
    with pytest.raises(UsageError, match="--root-depth"):
        predict.run(PredictOptions(images=["a.jpg"], root_depth=depth))


def test_answer_for_a_crop_does_not_depend_on_the_others():
    options = replace(SMALL, image_size=64, filters=8)
    engine = TorchEngine(
        Model(build_network(17, options).state_dict(), replace(Echo(np.empty(0)).card, options=options)),
        torch.device("cpu"),
    )
    crops = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3)).astype(np.uint8)
    together, alone = engine(crops), [engine(crops[i : i + 1]) for i in range(5)]
    for found, parts in zip(together, zip(*alone)):
        np.testing.assert_allclose(np.concatenate(parts), found, atol=1e-6)


def test_joints_in_pixels_are_where_the_network_saw_them(truth):
    names, boxes = truth.keypoints.images.ravel().tolist(), truth.keypoints.boxes().reshape(-1, 4)
    for size in (1, 7, 100):
        found = predict_images(Echo(answers(truth)), names, boxes, size, NOTHING_KNOWN)
        np.testing.assert_allclose(found.joints_2d, truth.keypoints.xy.reshape(-1, 17, 2), atol=1e-3)


def test_missing_image_in_the_middle_is_named(truth, tmp_path):
    names, boxes = truth.keypoints.images.ravel().tolist(), truth.keypoints.boxes().reshape(-1, 4)
    names[9] = str(tmp_path / "gone.jpg")
    with pytest.raises(InputError, match=r"gone\.jpg"):
        predict_images(Echo(answers(truth)), names, boxes, 2)


def test_network_without_depth_is_refused(tmp_path):
    card = Echo(np.empty(0)).card
    check_depth(tmp_path, card)
    with pytest.raises(CheckpointError, match="knows no depth"):
        check_depth(tmp_path, replace(card, options=replace(SMALL, supervision="2d")))


def test_what_is_drawn_ahead_keeps_its_order_and_stays_little():
    drawn, used, main = [], [], threading.get_ident()

    def items():
        for i in range(20):
            assert threading.get_ident() != main
            drawn.append(i)
            yield i

    for item in drawn_ahead(items()):
        used.append(item)
        assert len(drawn) <= len(used) + 2
    assert used == drawn == list(range(20))


def test_error_in_drawing_comes_in_its_turn_and_closing_ends_the_thread():
    def items():
        yield from range(3)
        raise InputError("the fourth")

    got = []
    with pytest.raises(InputError, match="the fourth"):
        got.extend(drawn_ahead(items()))  # extend keeps what came before
    assert got == [0, 1, 2]
    before, some = threading.active_count(), drawn_ahead(iter(range(100)))
    assert next(some) == 0
    some.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
def test_folding_batch_normalisation_changes_nothing(backbone):
    torch.manual_seed(0)
    network = build_network(5, replace(SMALL, backbone=backbone, image_size=64, filters=8))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias)
    with torch.inference_mode():
        crops = convert_crops(torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8), torch.device("cpu"))
        before, after = network.eval()(crops), fold_batch_norm(network)(crops)
    torch.testing.assert_close(after, before, atol=1e-4 * before.abs().max().item(), rtol=1e-3)


def naive(volume: torch.Tensor) -> torch.Tensor:
    """Soft-argmax to the letter, in double precision."""
    size = volume.shape[-1]
    p = volume.double().flatten(2).softmax(dim=-1).reshape(volume.shape)
    index = torch.arange(size, dtype=torch.float64)
    x, y, z = ((p.sum(dim=axes) * index).sum(dim=-1) for axes in ((2, 3), (2, 4), (3, 4)))
    return torch.stack([x, y, z], dim=-1) / size - 0.5


@pytest.mark.parametrize("spread", [0.0, 1.0, 10.0])
def test_soft_argmax_and_its_gradient_are_those_of_its_definition(spread):
    volume = torch.randn(2, 3, 32, 32, 32, generator=torch.Generator().manual_seed(0)).mul(spread)
    first, second = volume.clone().requires_grad_(True), volume.double().requires_grad_(True)
    weight = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(1))
    exact, found = naive(second), soft_argmax(first)[0]
    torch.testing.assert_close(found.double(), exact, atol=1e-6, rtol=0)
    (found * weight).sum().backward()
    (exact * weight).sum().backward()
    scale = second.grad.abs().max().item()
    torch.testing.assert_close(first.grad.double(), second.grad, atol=1e-4 * scale, rtol=1e-3)


def test_gradient_of_moments_is_that_of_finite_differences():
    volume = torch.randn(1, 2, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: _Moments.apply(v)[0], volume)
