"""`epitool export`: writes a trained network as one ONNX graph."""

from __future__ import annotations

from epitool.console import Summary
from epitool.errors import UsageError
from epitool.options import ExportOptions


def run(options: ExportOptions) -> Summary:
    """Write a network as a graph for ONNX Runtime, after comparing its output with PyTorch's.

    Raises:
        InputError: There is no such model, or the file cannot be written.
        CheckpointError: The model cannot be used, or the output of the graph differs.
        UsageError: The extra `[onnx]` is not installed, or the file name has another suffix than `.onnx`.
    """
    model, out = options.model, options.out
    if out.suffix != ".onnx":
        raise UsageError(f"--out {out}: expected a name that ends in .onnx, by which predict --model knows a graph")
    from epitool.nn.checkpoint import load_model
    from epitool.nn.export import export_onnx

    voxels = export_onnx(load_model(model), out)
    megabytes = out.stat().st_size / 1e6
    text = f"{out}: {megabytes:.0f} MB, joints within {voxels:.1g} voxels of {model}'s"
    return Summary(text, {"out": str(out), "model": str(model), "most_voxels": voxels})
