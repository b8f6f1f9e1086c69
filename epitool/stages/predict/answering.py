"""Choice of what predicts poses: a network, a refinement unit, or a network refined by a unit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from epitool.console import warn
from epitool.errors import InputError
from epitool.options import PredictOptions
from epitool.stages.shared.models import RUNS, newest_model, newest_refiner

if TYPE_CHECKING:
    from epitool.nn.inference import Engine
    from epitool.nn.refiner import Refiner


@dataclass(frozen=True, eq=False)
class Answerer:
    """The network, the refinement unit, or both, that predict poses; their files, and their name in words."""

    engine: Engine | None
    model: Path | None
    refiner: Refiner | None
    unit: Path | None
    words: str


def who_answers(options: PredictOptions) -> Answerer:
    """Open the network and unit: the named files, the newest ones in `runs/`, or the unit that comes with epitool.

    Raises:
        InputError: A file is missing, or only a network is wanted and there is none.
        CheckpointError: A file cannot be used.
    """
    unit, path, model = None, None, options.model
    if not options.no_refiner:
        from epitool.nn.refiner import load_refiner

        path = options.refiner or newest_refiner()
        unit = load_refiner(path) if path else load_refiner()
    if unit is None or unit.hint == "network":
        model = model or newest_model()
        if model is None and unit is None:
            raise InputError(f"no model in {RUNS}/; run `epitool train` first, give --model FILE, or no --no-refiner")
    engine = _open_engine(model, options.device, options.bf16) if model else None
    if unit is None:
        return Answerer(engine, model, None, None, f"network {model}")
    words = str(path) if path else "the shipped unit"
    if engine:
        words = f"network {model}, refined by {words}"
    elif unused := newest_model():
        why = "the detector's own 3D was the better hint" if path else "`epitool refine` tells whether it helps"
        words += f", without {unused} ({why})"
    return Answerer(engine, model, unit, path, words)


def _open_engine(path: Path, device: str, bf16: bool) -> Engine:
    from epitool.nn.inference import check_depth, open_engine

    engine = open_engine(path, device, bf16)
    check_depth(path, engine.card)
    if engine.card.doubts:
        warn(f"{path}: was trained on labels that were found doubtful: {'; '.join(engine.card.doubts)}")
    return engine


def told(who: Answerer) -> str:
    """Return the error on frames held out from training, in words; "" if it is unknown."""
    if who.refiner is not None and who.refiner.measured:
        best = min(who.refiner.measured.values())
        return f"NMPJPE on held-out frames of its recording {best[0]:.0f} {who.refiner.unit}"
    if who.refiner is None and who.engine and np.isfinite(who.engine.card.val_error):
        return f"NMPJPE on held-out frames of its recording {who.engine.card.val_error:.0f} {who.engine.card.unit}"
    return ""
