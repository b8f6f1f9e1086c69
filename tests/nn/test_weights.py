"""Files of the authors' release work as models, to the last digit; what networks can start from, and what is said."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from epitool.detectors.checkpoint import CheckpointDetector
from epitool.errors import CheckpointError, UsageError
from epitool.nn import backbone
from epitool.nn.checkpoint import load_model, save_model
from epitool.nn.crops import volume_to_pose
from epitool.nn.network import build_network
from epitool.nn.released import backbone_of
from epitool.nn.torch_engine import infer
from epitool.nn.weights import read_initial, starting_weights
from epitool.options.network import BACKBONES, SMALL
from epitool.skeleton import skeleton

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
TINY = replace(SMALL, image_size=256, filters=16)
H36M, MPII = skeleton("h36m17"), skeleton("mpii16")


def resnet(name):
    """torchvision's, with random weights."""
    return getattr(backbone._resnets(), name)(weights=None)


class NaiveNetwork(nn.Module):
    """The release's network and soft-argmax by their description, written without a look at epitool's."""

    def __init__(self, name: str, joints: int, filters: int) -> None:
        super().__init__()
        for part, layer in resnet(name).named_children():
            if part not in ("avgpool", "fc"):
                self.add_module(part, layer)
        layers, channels = [], 2048 if hasattr(self.layer1[0], "conv3") else 512
        for _ in range(3):
            layers += [nn.ConvTranspose2d(channels, filters, 4, 2, 1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()]
            channels = filters
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(filters, joints * 64, 1)
        self.joints = joints

    def forward(self, crops: np.ndarray) -> torch.Tensor:
        normal = (crops / 255.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        x = torch.from_numpy(normal.transpose(0, 3, 1, 2).astype(np.float32))
        for layer in self.children():
            x = layer(x)
        return x

    def joints_of(self, logits: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """x, y, z `(N, J, 3)`, and the number of voxels that a heatmap is spread over, exp(entropy) `(N, J)`."""
        heat = logits.double().reshape(len(logits), self.joints, -1).softmax(dim=-1)
        spread = torch.exp(-(heat * heat.clamp(min=1e-300).log()).sum(dim=-1)).numpy()
        heat = heat.reshape(*heat.shape[:2], 64, 64, 64).numpy()
        grid = np.arange(64) / 64
        axes = ("njzyx,x->nj", "njzyx,y->nj", "njzyx,z->nj")
        return np.stack([np.einsum(axis, heat, grid, optimize=True) for axis in axes], axis=-1) - 0.5, spread


def random_network(name: str, joints: int, crops: np.ndarray, filters: int) -> NaiveNetwork:
    """A network with peaked heatmaps: statistics of batch normalisation from the crops, logits of deviation 2.5.

    Its residual branches are weak, as in a trained network: strong random ones would blow up float32's rounding.
    """
    torch.manual_seed(joints)
    network = NaiveNetwork(name, joints, filters)
    for part, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            last = "layer" in part and part.endswith("bn3" if hasattr(network.layer1[0], "conv3") else "bn2")
            nn.init.uniform_(module.weight, *((0.05, 0.25) if last else (0.5, 1.5)))
            nn.init.normal_(module.bias, std=0.2)
    with torch.no_grad():
        network.train()(crops)
        network.eval()
        network.final_layer.weight *= 2.5 / network(crops).std()
        nn.init.normal_(network.final_layer.bias)
    return network


def save_released(network: nn.Module, path: Path, prefix: str = "module.") -> Path:
    weights = {prefix + name: tensor for name, tensor in network.state_dict().items()}
    torch.save({"epoch": 140, "perf": np.float64(54.9), "optimizer": {"lr": [1e-5]}, "state_dict": weights}, path)
    return path


def some_crops(count: int = 2) -> np.ndarray:
    """Coloured noise of several scales: every part of the crop differs from the others."""
    rng = np.random.default_rng(0)
    sizes = (8, 32, 256)
    parts = [np.kron(rng.uniform(0, 255, (count, s, s, 3)), np.ones((1, 256 // s, 256 // s, 1))) for s in sizes]
    return np.mean(parts, axis=0).astype(np.uint8)


@pytest.fixture(scope="module")
def released(tmp_path_factory) -> Path:
    network = random_network("resnet18", 17, some_crops(), filters=16)
    return save_released(network, tmp_path_factory.mktemp("released") / "fully_supervised.pth.tar")


def changed(released: Path, path: Path, change) -> Path:
    content = torch.load(released, weights_only=False)
    change(content["state_dict"])
    torch.save(content, path)
    return path


SIZES = [
    ("resnet18", 16, 64),
    pytest.param("resnet18", 17, 64, marks=pytest.mark.thorough),
    ("resnet50", 17, 256),
]


def start_from(source, network, body):
    return starting_weights(read_initial(source, backbone_of(network.state_dict())), network, body)


@pytest.mark.parametrize(("name", "joints", "filters"), SIZES)
def test_released_file_answers_as_the_release_to_a_ten_thousandth_of_a_voxel(tmp_path, name, joints, filters):
    crops = some_crops()
    network = random_network(name, joints, crops, filters)
    with torch.no_grad():
        expected, spread = network.joints_of(network(crops))
    answered, _ = infer(load_model(save_released(network, tmp_path / "a.pth.tar")).network(CPU), crops)
    assert np.median(spread) < 64**3 / 50  # far from uniform heatmaps, which any weights would give
    assert np.ptp(expected, axis=(0, 1)).min() * 64 > 3
    np.testing.assert_allclose(answered * 64, expected * 64, atol=1e-4)


def test_file_of_17_joints_is_a_model_of_h36m_with_boxes_of_two_metres(released):
    card = load_model(released).card
    assert (card.skeleton.name, card.unit, card.scale_source) == ("h36m17", "mm", "box of 2000 mm at the root's depth")
    assert (card.options.backbone, card.options.image_size, card.options.filters) == ("resnet18", 256, 16)
    assert (card.options.supervision, card.convention.box_size, card.convention.depth_span) == ("full", 2000, 1)
    assert card.trained.all()
    assert card.scale_rule == "the box is taken as 2000 mm wide at the root's depth"
    assert np.isnan(card.bone_lengths).all()
    assert card.confidence(np.array([0.5, card.sharpness, 1.0])) == pytest.approx([0.095, 0.8, 1.0], abs=0.001)


def test_joints_are_in_the_order_of_the_release():
    from_h36m = [3, 2, 1, 4, 5, 6, 0, 8, 9, 10, 16, 15, 14, 11, 12, 13]
    assert MPII.joints == tuple(H36M.joints[j] for j in from_h36m)
    assert H36M.joints[:4] == ("pelvis", "right_hip", "right_knee", "right_ankle")
    assert H36M.joints[11:14] == ("left_shoulder", "left_elbow", "left_wrist")


@pytest.mark.parametrize(("file", "supervision"), [("mpii_integral.pth.tar", "2d"), ("ss.pth.tar", "self")])
def test_file_of_16_joints_was_trained_in_2d_if_its_name_says_mpii(tmp_path, file, supervision):
    card = load_model(save_released(NaiveNetwork("resnet18", 16, 8), tmp_path / file, prefix="")).card
    assert (card.skeleton, card.options.supervision) == (MPII, supervision)
    lines = start_from(tmp_path / file, build_network(16, replace(TINY, filters=8)), MPII)
    assert ("depth was not trained there" in lines) == (supervision == "2d")
    pose, xy = volume_to_pose(
        np.zeros((1, 16, 3)), np.array([[0.0, 0, 64, 64]]), np.eye(3), card.bone_lengths, MPII, card.convention
    )
    assert np.isnan(pose).all() == (card.scale_rule == "none") == (supervision == "2d")
    np.testing.assert_allclose(xy, 32)


def test_released_file_serves_as_detector(released):
    detector = CheckpointDetector(released, "cpu")
    xy, confidence = detector.detect(some_crops()[0])
    assert (detector.skeleton, detector.name) == (H36M, "checkpoint:fully_supervised.pth.tar")
    assert xy.shape[1:] == (17, 2)
    assert confidence.shape == xy.shape[:2]


@pytest.mark.parametrize("name", BACKBONES)
def test_backbone_follows_from_the_names_of_layers(name):
    with torch.device("meta"):
        names = list(resnet(name).state_dict())
    assert backbone_of(names) == backbone_of(names[: len(names) * 9 // 10]) == name


def keep_half(weights):
    for name in list(weights)[1::2]:
        del weights[name]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w.pop("module.layer3.1.conv2.weight"), "1 of the 140 tensors.* layer3.1.conv2.weight"),
        (keep_half, "tensors of a resnet18 pose network for 17 joints are missing"),
        (lambda w: w.pop("module.final_layer.weight"), "final_layer.weight is missing"),
        (
            lambda w: w.update({"module.final_layer.weight": torch.zeros(960, 16, 1, 1)}),
            r"960x16x1x1, expected 1024 \(16 joints x 64\) or 1088 \(17 joints x 64\)",
        ),
        (lambda w: w.update({"module.conv1.weight": torch.zeros(64, 3, 3, 3)}), "64x3x3x3, expected 64x3x7x7"),
        (lambda w: w.update({"module.layer5.weight": torch.zeros(1)}), "layer5.weight is no tensor of a resnet18"),
        (lambda w: w.update({"module.conv1.weight": torch.zeros(64, 3, 7, 7, dtype=torch.int32)}), "int32, expected"),
        (lambda w: w["module.deconv_layers.3.weight"][0, 0].fill_(torch.nan), "deconv_layers.3.weight .* not finite"),
        (lambda w: w["module.bn1.running_var"].fill_(torch.inf), "bn1.running_var .* not finite"),
        (lambda w: w.update({"module.bn1.bias": [0.0] * 64}), "bn1.bias is list, expected 64"),
        (lambda w: w.update({"module.bn1.bias": torch.zeros(64).to_sparse()}), "bn1.bias is no plain tensor"),
        (lambda w: w.update({"module.bn1.bias": torch.zeros(1).expand(10**9, 10**9)}), "1000000000x1000000000, exp"),
    ],
)
def test_network_that_does_not_fit_is_refused_in_one_line_that_says_where(released, tmp_path, change, said):
    path = changed(released, tmp_path / "a.pth.tar", change)
    with pytest.raises(CheckpointError, match=said) as caught:
        load_model(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_batches_need_not_be_counted_and_half_precision_is_widened(released, tmp_path):
    def change(weights):
        for name in [name for name in weights if name.endswith("num_batches_tracked")]:
            del weights[name]
        weights["module.conv1.weight"] = weights["module.conv1.weight"].half()

    network = load_model(changed(released, tmp_path / "a.pth.tar", change)).network(CPU)
    assert network.conv1.weight.dtype == torch.float32


def test_training_starts_from_a_released_file(released):
    lines = start_from(released, network := build_network(17, TINY), H36M)
    assert lines[0] == f"140 of 140 tensors start from {released}"
    assert "z spans 1 boxes there and 2 here" in lines[1]
    assert all(torch.equal(t, network.state_dict()[name]) for name, t in load_model(released).weights.items())


def test_joints_take_over_their_channels_by_name(released):
    network = build_network(16, TINY)
    before = network.final_layer.weight.detach().clone()
    lines = start_from(str(released), network, MPII)
    weight, bias = (load_model(released).weights[f"final_layer.{part}"] for part in ("weight", "bias"))
    for j, joint in enumerate(MPII.joints):
        there = slice(64 * H36M.index(joint), 64 * H36M.index(joint) + 64)
        assert torch.equal(network.final_layer.weight[64 * j : 64 * j + 64], weight[there])
        assert torch.equal(network.final_layer.bias[64 * j : 64 * j + 64], bias[there])
    assert not torch.equal(network.final_layer.weight, before)
    assert len(lines) == 2


def test_joints_that_the_source_lacks_start_random(released):
    halpe, network = skeleton("halpe26"), build_network(26, TINY)
    before = network.final_layer.weight.detach().clone()
    lines = start_from(released, network, halpe)
    assert lines[1].startswith("final_layer: 14 of 26 joints by name; random are nose, left_eye")
    assert torch.equal(network.final_layer.weight[:64], before[:64])


def test_model_of_ours_starts_another_and_says_what_does_not_fit(released, tmp_path):
    save_model(tmp_path / "model.pt", load_model(released))
    network = build_network(17, replace(TINY, image_size=96, filters=8))
    lines = start_from(tmp_path / "model.pt", network, H36M)
    assert lines[0].startswith("123 of 140 tensors")
    assert lines[1] == "final_layer starts random: final_layer.weight, 1088x16x1x1 there and 408x8x1x1 here"
    assert "other tensors start random, the first is deconv_layers.0.weight, 512x16x4x4 there and 512x8" in lines[2]


def test_a_file_of_weights_is_read_once(released, monkeypatch):
    read, load = [], torch.load
    monkeypatch.setattr(torch, "load", lambda file, **how: read.append(file) or load(file, **how))
    read_initial(released, "resnet18")
    assert len(read) == 1


def test_torchvision_file_starts_the_trunk(tmp_path):
    trunk, network = resnet("resnet18"), build_network(17, TINY)
    torch.save(trunk.state_dict(), tmp_path / "resnet18.pth")
    lines = start_from(tmp_path / "resnet18.pth", network, H36M)
    assert lines[:2] == [
        f"120 of 140 tensors start from {tmp_path / 'resnet18.pth'}",
        "final_layer starts random: final_layer.weight, missing there and 1088x16x1x1 here",
    ]
    assert torch.equal(network.layer4[1].conv2.weight, trunk.layer4[1].conv2.weight)
    with pytest.raises(CheckpointError, match="no pose network"):
        load_model(tmp_path / "resnet18.pth")


def test_another_trunk_or_none_is_refused(released, tmp_path):
    with pytest.raises(CheckpointError, match="is of a resnet18, the network is a resnet50; train with backbone"):
        start_from(released, build_network(17, replace(TINY, backbone="resnet50")), H36M)
    torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="neither"):
        start_from(tmp_path / "a.pt", build_network(17, TINY), H36M)
    nan = torch.full((128, 64, 3, 3), torch.nan)
    torch.save(resnet("resnet18").state_dict() | {"layer2.0.conv1.weight": nan}, tmp_path / "b.pt")
    with pytest.raises(CheckpointError, match=r"layer2.0.conv1.weight .* not finite"):
        start_from(tmp_path / "b.pt", build_network(17, TINY), H36M)


def no_route(*args, **kwargs):
    raise OSError("no route")


def test_imagenet_weights_come_from_the_cache_or_a_line_says_what_to_do(tmp_path, monkeypatch, capsys):
    network = build_network(17, TINY)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_route)
    with pytest.raises(UsageError, match=r"resnet18 cannot be had here \(no route\); put https.*resnet18-\w+.pth at"):
        start_from("imagenet", network, H36M)
    assert capsys.readouterr().out == ""
    trunk, url = resnet("resnet18"), backbone._resnets().ResNet18_Weights.IMAGENET1K_V1.url
    (tmp_path / "checkpoints").mkdir(exist_ok=True)
    torch.save(trunk.state_dict(), tmp_path / "checkpoints" / Path(url).name)
    assert start_from("imagenet", network, H36M)[0] == "120 of 140 tensors start from imagenet"
    assert torch.equal(network.conv1.weight, trunk.conv1.weight)
