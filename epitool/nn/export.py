"""Export of `model.onnx`: a network as one graph from crops to joints, for machines without PyTorch."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from epitool.errors import CheckpointError, UsageError
from epitool.files import writing
from epitool.nn.checkpoint import Model
from epitool.nn.network import PoseNetwork, convert_crops
from epitool.nn.onnx_engine import CARD, INPUT, OUTPUTS, OnnxEngine
from epitool.nn.torch_engine import fold_batch_norm, infer

MOST_VOXELS, MOST_SHARPNESS = 0.01, 0.001  # largest allowed differences between the graph and the network
_TRIES = 4


class _Graph(nn.Module):
    """Network from crops of bytes to volume coordinates and sharpness, in operations that ONNX supports."""

    def __init__(self, network: PoseNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        volume = self.network(convert_crops(crops, crops.device))
        size = volume.shape[-1]
        p = volume.flatten(2).softmax(dim=-1).reshape(volume.shape)
        plane = p.sum(dim=2)
        marginals = torch.stack([plane.sum(dim=2), plane.sum(dim=3), p.sum(dim=(3, 4))], dim=2)
        marginals = marginals / marginals.sum(dim=-1, keepdim=True)
        # Mean and sharpness as in `soft_argmax`.
        index = torch.arange(size, dtype=torch.float32)
        mean = marginals @ index
        variance = (marginals @ index.square() - mean.square())[..., :2].mean(dim=-1)
        return mean / size - 0.5, 1 / (1 + variance.clamp(min=0) * (12 / (size**2 - 1)))


def export_onnx(model: Model, path: Path) -> float:
    """Write `model.onnx`, after comparing its answers with the network's.

    Args:
        model: The trained network.
        path: File to write; the model's card goes into its metadata.

    Returns:
        Largest difference between the graph's and the network's joints, in voxels.

    Raises:
        UsageError: The extra `[onnx]` is not installed.
        CheckpointError: The graph's answers differ from the network's; nothing is written.
        InputError: The file cannot be written.
    """
    size = model.card.options.image_size
    crops = torch.zeros((2, size, size, 3), dtype=torch.uint8)
    with writing(path) as temporary:
        _write_graph(_Graph(fold_batch_norm(model.network(torch.device("cpu")))), crops, model, temporary)
        voxels, sharpness = _differences(model, OnnxEngine(temporary))
        if not (voxels <= MOST_VOXELS and sharpness <= MOST_SHARPNESS):
            raise CheckpointError(
                f"{path}: the exported graph's joints are {voxels:.3g} voxels from the network's, their sharpness"
                f" {sharpness:.3g}; {MOST_VOXELS:g} and {MOST_SHARPNESS:g} at the most are allowed; nothing was written"
            )
    return voxels


def _write_graph(graph: _Graph, crops: Tensor, model: Model, path: Path) -> None:
    try:
        import onnx
        import onnxscript  # noqa: F401 - PyTorch's exporter needs it
    except ImportError:
        raise UsageError("ONNX is not installed; install it with pip install 'epitool[onnx]'") from None
    said = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        warnings.simplefilter("ignore")
        batch = torch.export.Dim("batch")
        program = torch.onnx.export(
            graph.eval(), (crops,), dynamo=True, dynamic_shapes={"crops": {0: batch}}, input_names=[INPUT],
            output_names=list(OUTPUTS), verbose=False,
        )  # fmt: skip
    proto = program.model_proto  # type: ignore[union-attr]
    entry = proto.metadata_props.add()
    entry.key, entry.value = CARD, json.dumps(model.card.to_plain())
    onnx.save(proto, str(path))


def _differences(model: Model, engine: OnnxEngine) -> tuple[float, float]:
    """Return the largest differences between the graph's and the network's answers to smooth random images.

    The network is compared as it was trained, so that the folding of batch normalisation is checked as well.

    Returns:
        Differences of the coordinates, in voxels, and of the sharpness.
    """
    size, rng = model.card.options.image_size, np.random.default_rng(0)
    coarse = torch.from_numpy(rng.uniform(0, 255, (_TRIES, 3, 8, 8)))
    smooth = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    crops = smooth.permute(0, 2, 3, 1).round().to(torch.uint8).contiguous().numpy()
    ours, theirs = infer(model.network(torch.device("cpu")), crops), engine(crops)
    voxels, sharpness = (float(np.abs(a - b).max()) for a, b in zip(ours, theirs))
    return voxels * (size // 4), sharpness
