"""Plots of 3D poses side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from mpl_toolkits.mplot3d import Axes3D
from numpy.typing import NDArray

from epitool.skeleton import Skeleton
from epitool.viz.colors import bone_side, plot_color
from epitool.viz.style import AZIMUTH_DEG, DPI, ELEVATION_DEG, add_side_legend, save_figure

Array = NDArray[np.float64]
TRUTH_COLOR = (0.6, 0.6, 0.6)


def plot_poses(
    path: Path, poses: Array, skeleton: Skeleton, titles: Sequence[str], truth: Array | None = None, unit: str = "mm"
) -> None:
    """Plot 3D poses side by side as a PNG, at most five per row.

    Args:
        path: PNG file to write.
        poses: Poses relative to the root, in camera axes (y down), `(N, J, 3)`. Joints that are NaN are left out.
        skeleton: Skeleton with the joints' names and bones.
        titles: Title of each pose.
        truth: True poses `(N, J, 3)`, drawn in grey underneath.
        unit: Unit of both: "mm" or "arbitrary".
    """
    columns, rows = _grid(len(poses), 5)
    figure = Figure(
        figsize=(max(2.7 * columns, 5.5), 2.9 * rows + 0.9), dpi=DPI, layout=ConstrainedLayoutEngine(h_pad=0.12)
    )
    shown = np.concatenate([poses] if truth is None else [poses, truth])
    low, high = np.nanmin(shown, axis=(0, 1)), np.nanmax(shown, axis=(0, 1))
    for i, title in enumerate(titles):
        axes: Axes3D = figure.add_subplot(rows, columns, i + 1, projection="3d")
        if truth is not None:
            _add_bones(axes, truth[i], skeleton, 3.5, TRUTH_COLOR)
        _add_bones(axes, poses[i], skeleton, 2.0)
        _set_limits(axes, low, high)
        axes.set_title(title, fontsize=9, pad=2)
    add_side_legend(figure, *([] if truth is None else [Line2D([], [], color=TRUTH_COLOR, lw=4, label="truth")]))
    height = f"{high[1] - low[1]:,.0f} mm" if unit == "mm" else f"{high[1] - low[1]:.3g} units"
    figure.suptitle(f"3D poses relative to the root; each box is {height} high", fontsize=11)
    save_figure(figure, path)


def _grid(count: int, most_columns: int) -> tuple[int, int]:
    """Return the number of columns and rows."""
    if not count:
        raise ValueError("no poses to draw")
    columns = min(count, most_columns)
    return columns, -(-count // columns)


def _convert_axes(xyz: Array) -> Array:
    """Convert camera axes (x right, y down, z forward) to axes whose third is up."""
    return np.stack([xyz[..., 0], xyz[..., 2], -xyz[..., 1]], axis=-1)


def _add_bones(
    axes: Axes3D, pose: Array, skeleton: Skeleton, width: float, color: tuple[float, float, float] | None = None
) -> None:
    upright = _convert_axes(pose)
    for bone in skeleton.bones:
        side_color = color or plot_color(bone_side(skeleton, bone))
        axes.plot(*upright[list(bone)].T, color=side_color, linewidth=width, solid_capstyle="round")


def _set_limits(axes: Axes3D, low: Array, high: Array) -> None:
    corners = _convert_axes(np.stack([low, high]))
    first, last = corners.min(axis=0), corners.max(axis=0)
    axes.set(xlim=(first[0], last[0]), ylim=(first[1], last[1]), zlim=(first[2], last[2]))
    axes.set_box_aspect(last - first, zoom=1.05)
    axes.view_init(elev=ELEVATION_DEG, azim=AZIMUTH_DEG - 90)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_ticklabels([])
