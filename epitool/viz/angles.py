"""Joint angles over time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from epitool.viz.colors import joint_side, plot_color
from epitool.viz.style import DPI, lighten, save_figure

Array = NDArray[np.float64]
_COLUMNS, _WIDTH, _ROW = 2, 10.0, 1.9  # panels side by side; inches
_DASHES: dict[str, Literal["-", "--"]] = {
    "left": "-",
    "right": "--",
    "middle": "-",
}  # distinguish the sides where colours do not
_GAP = 1.5  # times the usual step: where frames are further apart, a line would invent what lies between
# What a positive angle means, by the angle's name without its side.
_POSITIVE = {
    "trunk_rotation": "to the left", "hip_flexion": "forward", "hip_adduction": "inward", "knee_flexion": "bent",
    "ankle_dorsiflexion": "toes up", "shoulder_elevation": "raised", "shoulder_plane": "0 aside, 90 forward",
    "elbow_flexion": "bent",
}  # fmt: skip


def plot_angles(path: Path, seconds: Array, angles: Mapping[str, Array], done: str = "") -> None:
    """Draw angles over time as a PNG, one panel per angle with both sides in it.

    Args:
        path: PNG file to write.
        seconds: Times `(F,)`, increasing.
        angles: Degrees `(F,)` by name, such as "left_knee_flexion"; NaN where missing.
        done: Processing of the poses, in words; "" for none.

    Raises:
        InputError: The file cannot be written.
    """
    panels: dict[str, list[str]] = {}
    for name in angles:
        panels.setdefault(_without_side(name), []).append(name)
    rows = -(-len(panels) // _COLUMNS)
    figure = Figure(figsize=(_WIDTH, _ROW * rows + 0.7), dpi=DPI, layout="constrained")
    grid = figure.subplots(rows, _COLUMNS, sharex=True, squeeze=False).ravel()
    for axes, (title, names) in zip(grid, panels.items(), strict=False):
        for name in names:
            _draw_curve(axes, seconds, angles[name], joint_side(name))
        axes.set_title(f"{title.replace('_', ' ')} ({_POSITIVE.get(title, 'degrees')})", fontsize=10, loc="left")
        axes.set_ylabel("degrees", fontsize=8)
        lighten(axes)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    for axes in grid[max(len(panels) - _COLUMNS, 0) : len(panels)]:
        axes.tick_params(labelbottom=True)
    for axes in grid[(rows - 1) * _COLUMNS : len(panels)]:
        axes.set_xlabel("seconds")
    if done:
        figure.suptitle(done, fontsize=8, color="0.35")
    _add_legend(figure, {joint_side(name) for name in angles})
    save_figure(figure, path)


def _draw_curve(axes: Axes, seconds: Array, degrees: Array, side: str) -> None:
    """Draw one curve, interrupted where frames or angles are missing; single frames between gaps become dots."""
    steps = np.diff(seconds)
    usual = float(np.median(steps)) if len(steps) else 0.0
    gaps = np.flatnonzero(steps > _GAP * usual) + 1
    x, y = np.insert(seconds, gaps, np.nan), np.insert(degrees, gaps, np.nan)
    axes.plot(x, y, color=plot_color(side), linestyle=_DASHES[side], linewidth=1.2)
    known = np.concatenate([[False], np.isfinite(y), [False]])
    alone = known[1:-1] & ~known[:-2] & ~known[2:]
    axes.plot(x[alone], y[alone], ".", color=plot_color(side), markersize=3)


def _add_legend(figure: Figure, sides: set[str]) -> None:
    handles = [
        Line2D([], [], color=plot_color(side), linestyle=dashes, lw=2, label=side if side != "middle" else "trunk")
        for side, dashes in _DASHES.items()
        if side in sides
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9, frameon=False)


def _without_side(name: str) -> str:
    """Return an angle's name without its side.

    >>> _without_side("left_knee_flexion"), _without_side("trunk_rotation")
    ('knee_flexion', 'trunk_rotation')
    """
    side = joint_side(name)
    return name if side == "middle" else name.removeprefix(f"{side}_")
