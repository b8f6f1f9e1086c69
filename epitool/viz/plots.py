"""Diagrams of how training went, how well poses reproject, and how well two views agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from epitool.images import Image
from epitool.skeleton import Skeleton
from epitool.viz.colors import joint_side, plot_color

Array = NDArray[np.float64]
DPI = 110


def plot_learning_curve(path: Path, log: Sequence[Mapping[str, float]], unit: str = "mm") -> None:
    """Draws training loss and validation error over the epochs into a PNG, the best epoch marked.

    Args:
        path: The PNG to write.
        log: One mapping an epoch with the keys `epoch`, `train_loss` and `val_nmpjpe`.
        unit: Of `val_nmpjpe`.
    """
    epochs, losses, errors = (np.array([entry[key] for entry in log]) for key in ("epoch", "train_loss", "val_nmpjpe"))
    figure = Figure(figsize=(6.4, 5.4), dpi=DPI, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    marker = "o" if len(epochs) < 30 else None
    upper.plot(epochs, losses, color=plot_color("left"), marker=marker, markersize=3)
    upper.set(title="Learning curve", ylabel="training loss")
    lower.plot(epochs, errors, color=plot_color("right"), marker=marker, markersize=3)
    lower.set(xlabel="epoch", ylabel=f"validation error ({unit})")
    lower.xaxis.get_major_locator().set_params(integer=True)
    if np.isfinite(errors).any():
        best = int(np.nanargmin(errors))
        label = f"best: {errors[best]:.4g} {unit} at epoch {epochs[best]:g}"
        lower.axhline(errors[best], color="0.6", linewidth=0.8, linestyle="--", zorder=0)
        lower.plot(epochs[best], errors[best], "*", color="black", markersize=11, linestyle="none", label=label)
        lower.legend(frameon=False)
    for axes in (upper, lower):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, format="png")


def plot_residuals(path: Path, reprojection_px: Array, views: Sequence[str], skeleton: Skeleton) -> None:
    """Draws the median reprojection error of every joint in every view as a table of colours into a PNG.

    Args:
        path: The PNG to write.
        reprojection_px: `(F, V, J)` px; NaN where a joint was not seen.
        views: Names of the V views.
        skeleton: Names the joints.
    """
    medians = np.array([[_median(column) for column in view.T] for view in reprojection_px.transpose(1, 0, 2)]).T
    figure = Figure(figsize=(2.6 + 0.95 * len(views), 1.4 + 0.3 * len(skeleton)), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    top = np.nanmax(medians, initial=1e-9)
    picture = axes.imshow(medians, cmap="viridis", vmin=0, vmax=top, aspect="auto")
    for (j, v), median in np.ndenumerate(medians):
        ink = "black" if median > 0.6 * top else "white"
        text = f"{median:.1f}" if np.isfinite(median) else "unseen"
        axes.text(v, j, text, ha="center", va="center", fontsize=8, color=ink if np.isfinite(median) else "0.4")
    axes.set_xticks(range(len(views)), views, rotation=30 if max(map(len, views)) > 8 else 0)
    axes.set_yticks(range(len(skeleton)), [joint.replace("_", " ") for joint in skeleton.joints])
    axes.set_title("Median reprojection error")
    figure.colorbar(picture, ax=axes, label="px", shrink=0.8)
    figure.savefig(path, format="png")


def plot_epipolar(
    path: Path, image_a: Image, image_b: Image, xy_a: Array, xy_b: Array, F: Array, skeleton: Skeleton
) -> None:
    """Draws joints of two views into a PNG, each with the epipolar line that the other view's joint gives.

    Args:
        path: The PNG to write.
        image_a: RGB image of view a.
        image_b: RGB image of view b.
        xy_a: Joints in view a `(J, 2)`, undistorted px; NaN where missing.
        xy_b: The same joints in view b.
        F: Fundamental matrix `(3, 3)`: `x_b @ F @ x_a = 0`.
        skeleton: Names the joints, for their colours.
    """
    figure = Figure(figsize=(11, 5.6), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    sides = [joint_side(joint) for joint in skeleton.joints]
    distance_a = _draw_view(left, image_a, xy_a, _homogeneous(xy_b) @ F, sides)
    distance_b = _draw_view(right, image_b, xy_b, _homogeneous(xy_a) @ F.T, sides)
    left.set_title(f"view a, lines of view b: median distance {distance_a:.1f} px", fontsize=10)
    right.set_title(f"view b, lines of view a: median distance {distance_b:.1f} px", fontsize=10)
    figure.suptitle("Epipolar lines of the joints", fontsize=12)
    figure.savefig(path, format="png")


def _draw_view(axes: Axes, image: Image, xy: Array, lines: Array, sides: Sequence[str]) -> float:
    """Draws joints on an image and lines (a, b, c) `(J, 3)` through it; returns their median distance, px."""
    height, width = image.shape[:2]
    axes.imshow(image, alpha=0.75)
    for point, line, side in zip(xy, lines, sides):
        if np.isfinite(point).all() and np.isfinite(line).all():
            foot = point - line[:2] * (line @ [*point, 1.0]) / (line[:2] @ line[:2])
            along = np.array([line[1], -line[0]])
            axes.axline(foot, foot + along, color=plot_color(side), linewidth=0.9, alpha=0.8)
            axes.plot(*point, "o", color=plot_color(side), markersize=5, markeredgecolor="white", markeredgewidth=0.8)
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axes.set_axis_off()
    return _median(np.abs((lines * _homogeneous(xy)).sum(axis=-1)) / np.linalg.norm(lines[:, :2], axis=-1))


def _homogeneous(xy: Array) -> Array:
    return np.column_stack([xy, np.ones(len(xy))])


def _median(values: Array) -> float:
    """Median of what is not NaN; NaN where nothing is left."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")
