"""Options of `epitool export`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from epitool.options.flag import Flag, Input, Options, Output


@dataclass(frozen=True, kw_only=True)
class ExportOptions(Options):
    """Write a trained network as an ONNX graph, which predict --model reads on machines without PyTorch.

    Example: epitool export runs/default/model.pt --out model.onnx
    """

    model: Annotated[Path, Flag("Checkpoint to export.", metavar="MODEL", argument=True, role=Input())]
    out: Annotated[Path, Flag("File to write.", role=Output())] = Path("model.onnx")
