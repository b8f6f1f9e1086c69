"""The pose network has the shape and the parameter names of the paper's, and its soft-argmax is an expectation."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from epitool.errors import UsageError
from epitool.nn.backbone import _resnets
from epitool.nn.network import PoseNetwork, build_network
from epitool.nn.resnet import ResNetTrunk
from epitool.nn.soft_argmax import soft_argmax
from epitool.options.network import BACKBONES, PAPER, SMALL


def test_paper_network_has_34_million_parameters_and_the_published_names():
    with torch.device("meta"):
        network = PoseNetwork(17, "resnet50", 256, 256)
    names = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    trunk, deconvolutions, final = 23_508_032, (2048 + 2 * 256) * 256 * 16 + 3 * 2 * 256, (256 + 1) * 17 * 64
    assert sum(p.numel() for p in network.parameters()) == trunk + deconvolutions + final == 34_274_944
    assert {name.split(".")[0] for name in names} == {
        *("conv1", "bn1", "layer1", "layer2", "layer3", "layer4"),
        *("deconv_layers", "final_layer"),
    }
    assert names["deconv_layers.0.weight"] == (2048, 256, 4, 4)
    assert "deconv_layers.0.bias" not in names
    assert names["deconv_layers.7.running_mean"] == (256,)
    assert names["final_layer.weight"] == (17 * 64, 256, 1, 1)
    assert names["final_layer.bias"] == (17 * 64,)


@pytest.mark.parametrize("name", BACKBONES)
def test_trunk_has_the_weights_of_torchvision(name):
    with torch.device("meta"):
        theirs, ours = getattr(_resnets(), name)(weights=None), ResNetTrunk(name)
    shapes = {key: value.shape for key, value in theirs.state_dict().items() if not key.startswith("fc.")}
    assert {key: value.shape for key, value in ours.state_dict().items()} == shapes


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])  # of either kind of block
def test_trunk_answers_as_that_of_torchvision(name):
    theirs, ours = getattr(_resnets(), name)(weights=None).eval(), ResNetTrunk(name).eval()
    ours.load_state_dict({key: value for key, value in theirs.state_dict().items() if not key.startswith("fc.")})
    theirs.avgpool = theirs.fc = torch.nn.Identity()
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(ours(images).flatten(1), theirs(images))


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
def test_volume_is_a_quarter_of_the_image_wide_high_and_deep(backbone):
    network = PoseNetwork(16, backbone, 64, 8).eval()
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 16, 16, 16, 16)


def test_soft_argmax_equals_a_naive_expectation():
    volume = torch.randn(2, 3, 8, 8, 8) * 3
    xyz, _ = soft_argmax(volume)
    p = np.exp(volume.double().numpy())
    p /= p.sum(axis=(2, 3, 4), keepdims=True)
    z, y, x = np.meshgrid(*[np.arange(8)] * 3, indexing="ij")
    naive = np.stack([(p * axis).sum(axis=(2, 3, 4)) for axis in (x, y, z)], axis=-1) / 8 - 0.5
    np.testing.assert_allclose(xyz.numpy(), naive, atol=1e-6)


def test_soft_argmax_finds_a_peak_and_is_sure_of_it():
    volume = torch.zeros(1, 2, 16, 16, 16)
    volume[0, 0, 3, 7, 12] = 100.0
    xyz, confidence = soft_argmax(volume)
    np.testing.assert_allclose(xyz[0, 0].numpy(), np.array([12, 7, 3]) / 16 - 0.5, atol=1e-6)
    np.testing.assert_allclose(confidence[0].numpy(), [1.0, 0.5], atol=1e-3)


def test_soft_argmax_stays_finite_for_huge_logits():
    xyz, confidence = soft_argmax(torch.full((1, 1, 4, 4, 4), 1e30))
    assert torch.isfinite(xyz).all()
    assert torch.isfinite(confidence).all()


def test_weights_are_those_of_the_seed_and_leave_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = build_network(4, SMALL), build_network(4, SMALL)
    assert torch.equal(torch.rand(3), expected)
    other = build_network(4, replace(SMALL, seed=1))
    assert torch.equal(first.conv1.weight, second.conv1.weight)
    assert not torch.equal(first.conv1.weight, other.conv1.weight)


@pytest.mark.parametrize("change", [{"backbone": "vgg16"}, {"image_size": 100}, {"batch_size": 1}, {"loss": "l2"}])
def test_options_that_cannot_be_are_refused(change):
    with pytest.raises(UsageError):
        replace(PAPER, **change)
