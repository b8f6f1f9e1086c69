"""Diagrams of how well cameras fit the keypoints: epipolar lines of two views, and residuals by joint and view."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from epitool.arrays import homogeneous
from epitool.camera import Camera
from epitool.geometry.two_view.epipolar import fundamental_of_cameras
from epitool.images import Image
from epitool.labels import Labels
from epitool.skeleton import Skeleton
from epitool.viz.style import DPI, save_figure

Array = NDArray[np.float64]
PANEL = 5.2  # inches
# Groups of alternative joints, far apart so that their lines can be distinguished. Of each group, the first joint that
# both views see is drawn.
SHOWN_JOINTS = (
    ("nose", "head_top", "neck_nose", "head"),
    ("left_wrist", "left_elbow"),
    ("right_wrist", "right_elbow"),
    ("pelvis", "left_hip"),
    ("left_ankle", "left_knee"),
    ("right_ankle", "right_knee"),
)
# Six colours that colour-blind people can distinguish (after Okabe and Ito).
JOINT_COLORS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#d55e00", "#cc79a7")
SURROUNDINGS = 1.9  # size of the shown part of the image, times the person's extent
READ_IN_BLACK = 0.7  # share of the darkest colour's error up to which black text is legible
WORST_SHOWN = 3.0  # times the median residual: all errors above have the same colour
QUARTILES = (25, 50, 75)


def plot_epipolar_lines(
    path: Path, cameras: tuple[Camera, Camera], images: tuple[Image, Image], xy: Array, skeleton: Skeleton
) -> None:
    """Plot a few joints in two views as a PNG, each with the epipolar line of the same joint in the other view.

    Args:
        path: PNG file to write.
        cameras: Cameras of the two views.
        images: RGB images of the two views, with the cameras' distortion.
        xy: Joints in the two views `(2, J, 2)`, px in these images; NaN where missing.
        skeleton: Skeleton with the joints' names.
    """
    first, second = cameras
    F = fundamental_of_cameras(first, second)
    ideal = np.stack([camera.undistort(joints) for camera, joints in zip(cameras, xy)])
    # x2^T F x1 = 0: the line in the first view is F^T x2, that in the second F x1
    lines = np.stack([homogeneous(ideal[1]) @ F, homogeneous(ideal[0]) @ F.T])
    # distance of point x from line (a, b, c): |(a, b, c) . x| / |(a, b)|
    distances = np.abs((lines * homogeneous(ideal)).sum(axis=-1)) / np.linalg.norm(lines[..., :2], axis=-1)
    shown = _select_shown_joints(skeleton, np.isfinite(distances).all(axis=0))

    frames = [_frame(ideal[v], cameras[v].image_size) for v in range(2)]
    tallest = max((bottom - top) / (right - left) for left, right, top, bottom in frames)
    figure = Figure(figsize=(2 * PANEL, PANEL * tallest + 1.2), dpi=DPI, layout="constrained")
    for v, axes in enumerate(figure.subplots(1, 2)):
        axes.imshow(_undistorted(cameras[v], images[v]), alpha=0.8)
        for j, color in zip(shown, JOINT_COLORS):
            _draw_joint(axes, ideal[v, j], lines[v, j], color)
        left, right, top, bottom = frames[v]
        axes.set(xlim=(left, right), ylim=(bottom, top))
        axes.set_axis_off()
        median = f"{np.nanmedian(distances[v]):.1f} px" if len(shown) else "unknown"
        title = f"{cameras[v].name}, with lines of {cameras[1 - v].name}\nmedian distance of all joints: {median}"
        axes.set_title(title, fontsize=11)
    handles = [
        Line2D([], [], color=color, marker="o", lw=1.6, label=f"{_words(skeleton.joints[j])}: {a:.1f} and {b:.1f} px")
        for j, color, (a, b) in zip(shown, JOINT_COLORS, distances[:, shown].T)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9.5, frameon=False)
    save_figure(figure, path)


def plot_residuals(path: Path, labels: Labels) -> None:
    """Plot the median and quartiles of the reprojection error of every joint in every view as a PNG.

    Args:
        path: PNG file to write.
        labels: Labels with `reprojection_px`. The last row and the last column pool the others.
    """
    error, skeleton = labels.reprojection_px, labels.poses.skeleton
    views = [*labels.rig.names, "all views"]
    rows = [*map(_words, skeleton.joints), "all joints"]
    columns = [*error.transpose(1, 0, 2), error.transpose(1, 0, 2).reshape(-1, len(skeleton))]
    table = np.array([[_quartiles(column[:, [j]]) for column in columns] for j in range(len(skeleton))])
    table = np.concatenate([table, [[_quartiles(column) for column in columns]]])

    known = table[..., 1][np.isfinite(table[..., 1])]
    worst = float(min(known.max(), WORST_SHOWN * np.median(known))) if known.size else 1.0
    width = 0.72 + 0.09 * max(8, *map(len, views))
    figure = Figure(figsize=(2.9 + width * len(views), 1.7 + 0.29 * len(rows)), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    clipped = bool((known > worst).any())
    darkest = 1.25 * max(worst, 1e-9)
    picture = axes.imshow(table[..., 1], cmap="YlOrRd", vmin=0, vmax=darkest, aspect="auto")
    for (row, column), median in np.ndenumerate(table[..., 1]):
        ink = "white" if median > READ_IN_BLACK * darkest else "black"
        _write_cell(axes, column, row, table[row, column], ink)
    axes.axhline(len(rows) - 1.5, color="white", linewidth=4)
    axes.axvline(len(views) - 1.5, color="white", linewidth=4)
    axes.set_xticks(range(len(views)), views, fontsize=10)
    axes.set_yticks(range(len(rows)), rows, fontsize=9.5)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.set_facecolor("0.93")
    figure.suptitle("Reprojection error: median and quartiles (px)", fontsize=12)
    bar = figure.colorbar(picture, ax=axes, label="median (px)", shrink=0.7, extend="max" if clipped else "neither")
    bar.outline.set_visible(False)
    save_figure(figure, path)


def _select_shown_joints(skeleton: Skeleton, seen: NDArray[np.bool_]) -> list[int]:
    """Return the joints to draw: of each group of `SHOWN_JOINTS`, the first that both views see."""
    groups = [[skeleton.joints.index(name) for name in group if name in skeleton.joints] for group in SHOWN_JOINTS]
    chosen = [next((j for j in group if seen[j]), None) for group in groups]
    return [j for j in chosen if j is not None]


def _draw_joint(axes: Axes, point: Array, line: Array, color: str) -> None:
    # foot of the perpendicular from the point to the line
    foot = point - line[:2] * (line @ [*point, 1.0]) / (line[:2] @ line[:2])
    along = np.array([line[1], -line[0]]) / np.linalg.norm(line[:2])
    axes.axline(foot, foot + along, color="black", linewidth=2.6, alpha=0.5)
    axes.axline(foot, foot + along, color=color, linewidth=1.5)
    axes.plot(*point, "o", color=color, markersize=7.5, markeredgecolor="black", markeredgewidth=1)


def _frame(xy: Array, image_size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return left, right, top and bottom of the image part to show: a square around the person, or the whole image."""
    width, height = image_size
    known = xy[np.isfinite(xy).all(axis=-1)]
    side, middle = float(max(image_size)), np.array([width, height]) / 2
    if len(known):
        low, high = np.percentile(known, (5, 95), axis=0)
        side, middle = min(SURROUNDINGS * max(*(high - low), 1.0), side), (low + high) / 2
    half = np.minimum(side, [width, height]) / 2
    x, y = np.clip(middle, half, np.array([width, height]) - half)
    return x - half[0] - 0.5, x + half[0] - 0.5, y - half[1] - 0.5, y + half[1] - 0.5


def _undistorted(camera: Camera, image: Image) -> Image:
    if not camera.distortion.any():
        return image
    return np.asarray(cv2.undistort(image, camera.K, camera.distortion), dtype=np.uint8)


def _quartiles(errors: Array) -> list[float]:
    """Return lower quartile, median and upper quartile of the errors that are not NaN; NaN if there are none."""
    known = errors[np.isfinite(errors)]
    return np.percentile(known, QUARTILES).tolist() if known.size else [np.nan] * 3


def _write_cell(axes: Axes, x: int, y: int, quartiles: Sequence[float], ink: str) -> None:
    low, median, high = quartiles
    if not np.isfinite(median):
        axes.text(x, y, "unseen", ha="center", va="center", fontsize=8, color="0.45")
        return
    axes.text(x - 0.04, y, _short(median), ha="right", va="center", fontsize=9.5, color=ink)
    axes.text(x + 0.04, y, f"{_short(low)} \u2013 {_short(high)}", ha="left", va="center", fontsize=7, color=ink)


def _short(px: float) -> str:
    return f"{px:.1f}" if px < 99.5 else f"{px:.0f}" if px < 9999.5 else f"{px:.0e}"


def _words(joint: str) -> str:
    return joint.replace("_", " ")
