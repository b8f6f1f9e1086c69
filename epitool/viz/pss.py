"""Plots of the Pose Structure Score's clusters: centres as skeletons, and poses in a plane."""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from epitool.skeleton import Skeleton
from epitool.viz.colors import bone_side, plot_color
from epitool.viz.style import AZIMUTH_DEG, DPI, ELEVATION_DEG, add_side_legend, save_figure

Array = NDArray[np.float64]
MOST_COLUMNS = 10


def plot_pss_centres(path: Path, centres: Array, skeleton: Skeleton, shares: Array | None = None) -> None:
    """Plot the cluster centres as skeletons as a PNG, ten per row (the paper's Figure 6).

    Args:
        path: PNG file to write.
        centres: Normalised poses in camera axes (y down), `(k, J, 3)`, without unit.
        skeleton: Skeleton with the joints' names and bones.
        shares: Share of the poses in each cluster, `(k,)`, written beside its number.
    """
    if not len(centres):
        raise ValueError("no poses to draw")
    columns = min(len(centres), MOST_COLUMNS)
    rows = -(-len(centres) // columns)
    figure = Figure(figsize=(max(1.1 * columns, 4.5), 1.35 * rows + 0.9), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    xy = _project_from_side(centres)
    xy = xy - (xy.min(axis=1) + xy.max(axis=1))[:, None] / 2
    width, height = 1.1 * np.ptp(xy, axis=(0, 1)) + [0, 0.12]
    places = np.array([[width * (i % columns), -height * (i // columns)] for i in range(len(centres))])
    segments = (xy + places[:, None])[:, list(skeleton.bones)].reshape(-1, 2, 2)
    colors = [plot_color(bone_side(skeleton, bone)) for bone in skeleton.bones] * len(centres)
    axes.add_collection(LineCollection(segments, colors=colors, linewidths=1.6, capstyle="round"))
    for i, (x, y) in enumerate(places + np.array([0, 0.5 * height])):
        share = "" if shares is None else f" ({100 * shares[i]:.1f}%)"
        axes.text(x, y, f"{i}{share}", fontsize=7, color="0.3", va="top", ha="center")
    axes.set(xlim=(-0.5 * width, (columns - 0.5) * width), ylim=(-(rows - 0.5) * height, 0.5 * height))
    axes.set_aspect("equal")
    axes.set_axis_off()
    add_side_legend(figure)
    figure.suptitle(f"The {len(centres)} cluster centres of the pose structure score", fontsize=11)
    save_figure(figure, path)


def plot_pss_plane(path: Path, places: Array, clusters: NDArray[np.int64], k: int) -> None:
    """Plot poses as dots in a plane, coloured and numbered by cluster, as a PNG (the paper's Figure 5).

    Args:
        path: PNG file to write.
        places: Positions of the poses from t-SNE, `(N, 2)`.
        clusters: Clusters of the poses, `(N,)` from 0 to k - 1.
        k: Number of clusters.
    """
    figure = Figure(figsize=(8.0, 7.6), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    colors = np.array(_distinct_colors(k))
    axes.scatter(places[:, 0], places[:, 1], c=colors[clusters], s=7, linewidths=0)
    for cluster in np.unique(clusters):
        where = _densest(places[clusters == cluster], 0.02 * float(np.ptp(places)))
        outline = [withStroke(linewidth=2.5, foreground="white")]
        axes.text(
            where[0], where[1], str(cluster),
            fontsize=8, weight="bold", ha="center", va="center", path_effects=outline,
        )  # fmt: skip
    axes.margins(0.02)
    axes.set_aspect("equal")
    axes.set_axis_off()
    title = f"t-SNE of {len(places)} poses, coloured by the {k} clusters of the pose structure score"
    figure.suptitle(title, fontsize=11)
    save_figure(figure, path)


def _densest(places: Array, width: float) -> Array:
    """Return the place of `(N, 2)` with the highest Gaussian density of places around it."""
    distances = np.linalg.norm(places[:, None] - places, axis=-1)
    return places[np.exp(-0.5 * (distances / width) ** 2).sum(axis=1).argmax()]


def _distinct_colors(count: int) -> list[tuple[float, float, float]]:
    """Return colours whose successive hues differ strongly, by golden ratio steps around the colour circle."""
    golden = 0.5 * (5**0.5 - 1)
    levels = ((0.62, 0.85), (0.85, 0.62), (0.45, 0.75))
    return [colorsys.hsv_to_rgb((i * golden) % 1.0, *levels[i % 3]) for i in range(count)]


def _project_from_side(xyz: Array) -> Array:
    """Project poses in camera axes orthographically to `(..., 2)`, y up."""
    view = Rotation.from_euler("yx", [AZIMUTH_DEG, ELEVATION_DEG], degrees=True).as_matrix()
    turned = xyz @ view.T
    return np.stack([turned[..., 0], -turned[..., 1]], axis=-1)
