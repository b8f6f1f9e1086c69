"""Choice of the default model if none is named."""

from __future__ import annotations

from pathlib import Path

RUNS = Path("runs")


def newest_model() -> Path | None:
    """Return the `model.pt` in the folders of `runs` that was written last; None if there is none."""
    return max(RUNS.glob("*/model.pt"), key=lambda path: path.stat().st_mtime, default=None)


def newest_refiner() -> Path | None:
    """Return the `refiner.pt` in the folders of `runs` that was written last; None if there is none."""
    return max(RUNS.glob("*/refiner.pt"), key=lambda path: path.stat().st_mtime, default=None)
