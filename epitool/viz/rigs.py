"""Plots of cameras and people, seen from above and from the side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.skeleton import Skeleton
from epitool.viz.colors import bone_side, plot_color
from epitool.viz.level import image_up, level_axes
from epitool.viz.style import DPI, add_side_legend, save_figure

Array = NDArray[np.float64]
MAX_HEIGHT = 14.0  # inches
SHOWN_FRAMES = 4
SHOWN_PERCENTILES = (0.5, 99.5)  # otherwise a few badly triangulated joints would shrink everything else
FRUSTUM_DEPTH = 0.15  # times the cameras' mean distance from the middle
MARGINS = np.array([0.17, 0.12, 0.12])  # times the largest extent; names beside cameras need room
METRE = 1000.0  # mm
PATH_COLOR, FLOOR_COLOR = "black", "sienna"
LABEL_OFFSET = np.array([30.0, 13.0])  # typographic points; names are wider than they are high
LABEL_PLACES, LABEL_RINGS = 16, (1.0, 1.6, 2.2, 2.8)
LABEL_CLEARANCE = 0.95  # times the offset: least distance of a name from other drawings
POINTS_ACROSS = 400.0  # approximate width of a panel in typographic points


def plot_rig(path: Path, rig: Rig, people: Sequence[Array], skeleton: Skeleton, up: Array | None = None) -> None:
    """Plot cameras with their fields of view, everyone's path of the pelvis and a few skeletons as a PNG.

    Args:
        path: PNG file to write.
        rig: The cameras.
        people: Joints of each person in the world `(F, J, 3)`, in the rig's unit; NaN where missing.
        skeleton: Skeleton with the joints' names and bones.
        up: Upward direction `(3,)` in the world, with the floor at 0 along it. If None, the direction is taken from
            the upper side of the images, which the plot states.
    """
    scale, unit = (METRE, "m") if rig.unit == "mm" else (1.0, "arbitrary unit")
    level = level_axes(image_up(rig) if up is None else up)
    points = [xyz @ level.T / scale for xyz in people]
    centers = np.stack([camera.center for camera in rig.cameras]) @ level.T / scale
    low, high = _bounds(np.concatenate(points).reshape(-1, 3), centers)
    depth = FRUSTUM_DEPTH * np.linalg.norm(centers - (low + high) / 2, axis=-1).mean()
    corners = np.stack([camera.corners(depth * scale) for camera in rig.cameras]) @ level.T / scale

    size = high - low
    height = min(1.9 + 5.6 * (size[1] + size[2]) / size[0], MAX_HEIGHT)
    figure = Figure(figsize=(7.0, height), dpi=DPI, layout="constrained")
    panels = figure.subplots(2, 1, height_ratios=size[1:].tolist())
    for axes, across, name in zip(panels, (1, 2), ("across", "up")):
        for person in points:
            _draw_person(axes, person[..., [0, across]], skeleton)
        places, images = centers[:, [0, across]], corners[..., [0, across]]
        offsets = _label_offsets(places, images, size[0] / POINTS_ACROSS)
        for camera, center, image, offset in zip(rig.cameras, places, images, offsets):
            _draw_camera(axes, center, image)
            _write_name(axes, camera.name, center, offset)
        axes.set(aspect="equal", xlim=(low[0], high[0]), ylim=(low[across], high[across]))
        axes.set(xlabel=f"along ({unit})", ylabel=f"{name} ({unit})")
        axes.grid(alpha=0.25)
    panels[0].set_title("seen from above")
    panels[1].set_title("seen from the side")
    if up is not None:
        panels[1].axhline(0, color=FLOOR_COLOR, linewidth=2, zorder=0)
    _add_legend(figure, floor=up is not None)
    remark = "" if up is not None else "\nup unknown: taken from how the cameras are held"
    figure.suptitle(f"{len(rig)} cameras and {max(map(len, people))} frames{remark}")
    save_figure(figure, path)


def _bounds(points: Array, centers: Array) -> tuple[Array, Array]:
    """Return the lowest and highest corner `(3,)` to show: all cameras, and the points without extreme ones."""
    known = points[np.isfinite(points).all(axis=-1)]
    extremes = np.percentile(known, SHOWN_PERCENTILES, axis=0) if len(known) else centers[:0]
    shown = np.concatenate([centers, extremes])
    low, high = shown.min(axis=0), shown.max(axis=0)
    margin = MARGINS * (high - low).max()
    return low - margin, high + margin


def _add_legend(figure: Figure, floor: bool) -> None:
    path = Line2D([], [], color=PATH_COLOR, lw=1, ls=":", label="path of the pelvis")
    add_side_legend(figure, path, *([Line2D([], [], color=FLOOR_COLOR, lw=2, label="floor")] if floor else []))


def _draw_person(axes: Axes, xy: Array, skeleton: Skeleton) -> None:
    axes.plot(*xy[:, _pelvis(skeleton)].mean(axis=1).T, color=PATH_COLOR, linewidth=1, linestyle=":", zorder=3)
    colors = [plot_color(bone_side(skeleton, bone)) for bone in skeleton.bones]
    solved = np.flatnonzero(np.isfinite(xy).all(axis=-1).sum(axis=-1) > len(skeleton) / 2)
    for chosen in np.array_split(solved, min(SHOWN_FRAMES, len(solved)) or 1):
        if len(chosen):
            bones = xy[chosen[0]][np.array(skeleton.bones)]
            axes.add_collection(LineCollection(bones, colors=colors, linewidths=1.8, capstyle="round"))


def _pelvis(skeleton: Skeleton) -> list[int]:
    """Return the joints whose mean is the pelvis: both hips if the skeleton has them, or else the root."""
    hips = [skeleton.joints.index(hip) for hip in ("left_hip", "right_hip") if hip in skeleton.joints]
    return hips if len(hips) == 2 else [skeleton.root]


def _label_offsets(centers: Array, corners: Array, unit_per_point: float) -> Array:
    """Return where to write the cameras' names, `(V, 2)` typographic points from their centres.

    Names are placed one after the other. Each gets the best of the places around its camera, on the innermost ring
    with a place that is clear of all frusta and of the names already placed.
    """
    angles = np.arange(LABEL_PLACES) * 2 * np.pi / LABEL_PLACES
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=-1) * LABEL_OFFSET
    around = np.concatenate([radius * ring for radius in LABEL_RINGS])
    outline = np.concatenate([corners, (corners + np.roll(corners, 1, axis=1)) / 2], axis=1)
    deep = np.linspace(0, 1, 4)[:, None, None]
    taken = ((1 - deep) * centers[:, None, None] + deep * outline[:, None]).reshape(-1, 2) / unit_per_point
    offsets = []
    for center in centers / unit_per_point:
        distance = np.linalg.norm((center + around[:, None] - taken) / LABEL_OFFSET, axis=-1).min(axis=1)
        best = distance.reshape(len(LABEL_RINGS), -1).max(axis=1)
        enough = best[np.argmax(best >= LABEL_CLEARANCE)] if (best >= LABEL_CLEARANCE).any() else best.max()
        offsets.append(around[np.flatnonzero(distance == enough)[0]])
        taken = np.concatenate([taken, [center + offsets[-1]]])
    return np.stack(offsets)


def _write_name(axes: Axes, name: str, center: Array, offset: Array) -> None:
    leader = {"arrowstyle": "-", "color": "0.5", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
    axes.annotate(
        name,
        tuple(center),
        tuple(offset),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=9,
        arrowprops=leader,
    )


def _draw_camera(axes: Axes, center: Array, corners: Array) -> None:
    """Draw a camera as its frustum: four edges from the centre, and the outline of the image."""
    outline = np.concatenate([corners, corners[:1]])
    axes.fill(*outline.T, color="0.85", alpha=0.6, zorder=2)
    edges = [np.stack([center, corner]) for corner in corners]
    axes.add_collection(LineCollection([*edges, outline], colors="0.3", linewidths=0.9, zorder=3))
    axes.plot(*center, "o", color="black", markersize=4, zorder=4)
