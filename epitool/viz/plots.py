"""Learning curves of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from epitool.viz.colors import plot_color
from epitool.viz.style import DPI, lighten, save_figure

Array = NDArray[np.float64]
_STYLES = ("-", "--", "-.", ":")  # distinguish runs where colours do not


def plot_learning_curve(path: Path, log: Sequence[Mapping[str, float]], unit: str = "mm") -> None:
    """Plot training loss and validation error over the epochs as a PNG, with the best epoch marked.

    Args:
        path: PNG file to write.
        log: One mapping per epoch with the keys `epoch`, `train_loss` and `val_nmpjpe`, or `val_2d_percent` instead of
            the last if the run did not learn depth.
        unit: Unit of `val_nmpjpe`; "" if it is not known.
    """
    in_depth = all("val_nmpjpe" in entry for entry in log)
    key, name, unit = ("val_nmpjpe", "NMPJPE", unit) if in_depth else ("val_2d_percent", "2D error", "% of the box")
    epochs, losses, errors = (np.array([entry[k] for entry in log]) for k in ("epoch", "train_loss", key))
    figure = Figure(figsize=(6.4, 5.4), dpi=DPI, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    marker = "o" if len(epochs) < 30 else None
    upper.plot(epochs, losses, color=plot_color("left"), marker=marker, markersize=3)
    upper.set(title="Learning curve", ylabel="training loss")
    lower.plot(epochs, errors, color=plot_color("right"), marker=marker, markersize=3)
    lower.set(xlabel="epoch", ylabel=f"validation {name}" + (f" ({unit})" if unit else ""))
    lower.xaxis.get_major_locator().set_params(integer=True)
    if np.isfinite(errors).any():
        best = int(np.nanargmin(errors))
        label = f"best: {errors[best]:.4g}{f' {unit}' if unit else ''} at epoch {epochs[best]:g}"
        lower.axhline(errors[best], color="0.6", linewidth=0.8, linestyle="--", zorder=0)
        lower.plot(epochs[best], errors[best], "*", color="black", markersize=11, linestyle="none", label=label)
        lower.legend(frameon=False)
    for axes in (upper, lower):
        lighten(axes)
    save_figure(figure, path)


def compare_learning_curves(path: Path, logs: Mapping[str, Sequence[Mapping[str, float]]], unit: str = "mm") -> None:
    """Plot the 2D and 3D validation errors of several runs over the epochs as a PNG.

    Args:
        path: PNG file to write.
        logs: Logs by run name: one mapping per epoch with the keys `epoch`, `val_2d_percent` and, if the run learned
            depth, `val_nmpjpe`.
        unit: Unit of `val_nmpjpe`.
    """
    figure = Figure(figsize=(9.0, 3.8), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, 2)
    named = zip(panels, ("val_2d_percent", "val_nmpjpe"), ("2D error (% of the box)", f"NMPJPE ({unit})"), strict=True)
    for axes, key, label in named:
        for k, (name, log) in enumerate(logs.items()):
            if all(key in entry for entry in log):
                epochs, errors = ([entry[of] for entry in log] for of in ("epoch", key))
                axes.plot(epochs, errors, color=f"C{k}", linestyle=_STYLES[k % 4], label=name)
        axes.set(xlabel="epoch", ylabel=label, ylim=(0, None))
        axes.legend(frameon=False)
        lighten(axes)
    save_figure(figure, path)
