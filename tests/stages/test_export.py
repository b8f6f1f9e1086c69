"""The exported graph answers as the network does, without PyTorch, and is refused when it does not."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiers import thorough_but

from epitool.detectors.checkpoint import CheckpointDetector
from epitool.errors import CheckpointError, InputError, UsageError
from epitool.nn import export
from epitool.nn.card import ModelCard
from epitool.nn.checkpoint import Model, save_model
from epitool.nn.crops import bones
from epitool.nn.inference import open_engine
from epitool.nn.network import build_network, convert_crops
from epitool.nn.onnx_engine import CARD, OnnxEngine
from epitool.nn.torch_engine import fold_batch_norm
from epitool.options import ExportOptions
from epitool.options.network import SMALL
from epitool.skeleton import skeleton
from epitool.stages import export as stage

onnx = pytest.importorskip("onnx", reason="needs pip install 'epitool[onnx]'")
pytest.importorskip("onnxruntime", reason="needs pip install 'epitool[onnx]'")
pytest.importorskip("onnxscript", reason="needs pip install 'epitool[onnx]'")

H36M = skeleton("h36m17")
TINY = replace(SMALL, image_size=64, filters=16)


def some_crops(count: int) -> np.ndarray:
    coarse = np.random.default_rng(1).integers(0, 256, (count, 6, 6, 3)).astype(np.uint8)
    return np.stack([cv2.resize(image, (64, 64), interpolation=cv2.INTER_CUBIC) for image in coarse])


@pytest.fixture(scope="module")
def model() -> Model:
    """Random weights, with heatmaps that have a peak."""
    network = build_network(17, TINY).eval()
    with torch.no_grad():
        logits = network(convert_crops(torch.from_numpy(some_crops(4)), torch.device("cpu")))
        network.final_layer.weight.mul_(6 / logits.std())
    lengths = np.full(len(bones(H36M)), 300.0)
    card = ModelCard(TINY, H36M, np.full(17, True), lengths, 1.2, "mm", "made up", "abc", 3, 80.0, 0.9)
    return Model(network.state_dict(), card)


@pytest.fixture(scope="module")
def files(model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "model.pt", model)
    stage.run(ExportOptions(model=folder / "model.pt", out=folder / "model.onnx"))
    return folder


@pytest.mark.parametrize("count", thorough_but([1, 5], 5))
def test_graph_answers_as_the_network_for_any_number_of_crops(files, count):
    ours, theirs = (open_engine(files / name, "cpu")(some_crops(count)) for name in ("model.pt", "model.onnx"))
    assert ours[1].mean() > 0.6  # no uniform heatmaps, for which anything would agree
    np.testing.assert_allclose(theirs[0] * 16, ours[0] * 16, atol=1e-3)
    np.testing.assert_allclose(theirs[1], ours[1], atol=1e-4)


def test_graph_carries_the_card(files, model):
    assert OnnxEngine(files / "model.onnx").card.to_plain() == model.card.to_plain()


@pytest.mark.parametrize(("name", "missing"), [("model.onnx", ["torch", "torchvision"]), ("model.pt", ["torchvision"])])
def test_predict_loads_nothing_that_it_can_do_without(files, tmp_path, name, missing):
    cv2.imwrite(str(tmp_path / "a.png"), some_crops(1)[0])
    script = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({[*missing, 'h5py', 'mediapipe', 'matplotlib', 'scipy', 'sklearn']!r}))\n"
        "from epitool.cli import main\n"
        "sys.argv = ['epitool', 'predict', 'a.png', '--box', 'image', '--no-refiner',"
        f" '--model', {str(files / name)!r}]\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(json.loads((tmp_path / "pose.json").read_text())["poses"]) == 1


def test_graph_serves_as_detector(files):
    xy, confidence = CheckpointDetector(files / "model.onnx").detect(some_crops(1)[0])
    assert xy.shape[1:] == (17, 2)
    assert confidence.shape == xy.shape[:2]


def test_graph_that_answers_otherwise_is_not_written(model, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "MOST_VOXELS", -1.0)
    with pytest.raises(CheckpointError, match=r"voxels from the network's.*nothing was written"):
        export.export_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_error_in_preparing_the_graph_is_noticed(model, tmp_path, monkeypatch):
    def without_bias(network):
        prepared = fold_batch_norm(network)
        torch.nn.init.zeros_(prepared.deconv_layers[6].bias)
        return prepared

    weights = {name: tensor.clone() for name, tensor in model.weights.items()}
    weights["deconv_layers.7.bias"] += 1
    monkeypatch.setattr(export, "fold_batch_norm", without_bias)
    with pytest.raises(CheckpointError, match="nothing was written"):
        export.export_onnx(replace(model, weights=weights), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_graph_is_named_so_that_predict_knows_it(files, tmp_path):
    with pytest.raises(UsageError, match=r"ends in \.onnx"):
        stage.run(ExportOptions(model=files / "model.pt", out=tmp_path / "model.pt"))


@pytest.mark.parametrize(("device", "bf16", "message"), [("cuda", False, "on the CPU"), ("cpu", True, "bfloat16")])
def test_graph_refuses_what_it_cannot_do(files, device, bf16, message):
    with pytest.raises(UsageError, match=message):
        open_engine(files / "model.onnx", device, bf16)


@pytest.mark.parametrize("missing", thorough_but(["onnx", "onnxscript", "onnxruntime"], "onnx", "onnxscript"))
def test_missing_packages_are_named_by_their_extra(model, tmp_path, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UsageError, match=r"epitool\[onnx\]"):
        export.export_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_truncated_graph_is_refused(files, tmp_path, share):
    content = (files / "model.onnx").read_bytes()
    (tmp_path / "model.onnx").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError) as caught:
        OnnxEngine(tmp_path / "model.onnx")
    assert "\n" not in str(caught.value)


def changed(files: Path, out: Path, card: str | None) -> Path:
    """The graph with another card."""
    graph = onnx.load(str(files / "model.onnx"))
    del graph.metadata_props[:]
    if card is not None:
        graph.metadata_props.add(key=CARD, value=card)
    onnx.save(graph, str(out))
    return out


def test_graph_of_others_is_refused(files, tmp_path):
    card = json.loads(json.dumps(OnnxEngine(files / "model.onnx").card.to_plain()))
    cases = {
        "no graph that": None,
        "card cannot be read": "[]",
        "cannot be read ": json.dumps(card | {"joints": ["a"]}),
        "not that of its card": json.dumps(card | {"options": card["options"] | {"image_size": 96}}),
    }
    for message, stated in cases.items():
        with pytest.raises(CheckpointError, match=message):
            OnnxEngine(changed(files, tmp_path / "other.onnx", stated))


def test_missing_graph_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(InputError, match="epitool export"):
        OnnxEngine(tmp_path / "model.onnx")
