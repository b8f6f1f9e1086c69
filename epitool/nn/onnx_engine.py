"""Inference by ONNX graphs, without PyTorch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from epitool.camera import Array
from epitool.errors import CheckpointError, EpitoolError, InputError, UsageError, first_line
from epitool.images import Image
from epitool.nn.card import ModelCard

CARD, INPUT, OUTPUTS = "epitool.card", "crops", ("volume", "sharpness")


class OnnxEngine:
    """Network as an ONNX graph, computed by ONNX Runtime on the CPU."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        """Load a `model.onnx` that `epitool export` wrote.

        Args:
            path: The file.
            threads: Number of threads; 0 for one per core. ONNX Runtime ignores OMP_NUM_THREADS.

        Raises:
            InputError: There is no such file.
            CheckpointError: It is damaged, or not written by `epitool export`.
            UsageError: ONNX Runtime is not installed.
        """
        try:
            import onnxruntime
        except ImportError:
            raise UsageError("ONNX Runtime is not installed; install it with pip install 'epitool[onnx]'") from None
        if not path.is_file():
            raise InputError(f"{path}: no such file; `epitool export` makes it")
        options = onnxruntime.SessionOptions()
        options.log_severity_level, options.intra_op_num_threads = 4, threads
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # of many types, none of which is public
            raise CheckpointError(f"{path}: cannot be read as an ONNX graph ({first_line(error)})") from None
        self.card = self._card(path)

    def __call__(self, crops: Image) -> tuple[Array, Array]:
        """Return volume coordinates `(N, J, 3)` and sharpness `(N, J)` for RGB crops `(N, S, S, 3)`."""
        xyz, sharpness = self._session.run(list(OUTPUTS), {INPUT: np.ascontiguousarray(crops)})
        return xyz.astype(np.float64), sharpness.astype(np.float64)

    def _card(self, path: Path) -> ModelCard:
        """Return the card in the graph's metadata, checked against the graph's inputs and outputs."""
        stated = self._session.get_modelmeta().custom_metadata_map.get(CARD)
        if stated is None:
            raise CheckpointError(f"{path}: is no graph that `epitool export` wrote")
        try:
            card = ModelCard.from_plain(json.loads(stated))
        except (EpitoolError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{path}: its card cannot be read ({str(error)[:200]})") from None
        size, inputs, outputs = card.options.image_size, self._session.get_inputs(), self._session.get_outputs()
        fits = [i.name for i in inputs] == [INPUT] and tuple(o.name for o in outputs) == OUTPUTS
        if not fits or inputs[0].shape[1:] != [size, size, 3] or outputs[0].shape[1:] != [len(card.skeleton), 3]:
            raise CheckpointError(f"{path}: the graph is not that of its card")
        return card
