"""Common parts of all diagrams: resolution, legend of the body's sides, and writing to file."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from epitool.files import writing
from epitool.viz.colors import SIDE_COLORS, plot_color

DPI = 110
ELEVATION_DEG, AZIMUTH_DEG = 12.0, 35.0  # viewpoint of 3D poses: a little above and to the side


def add_side_legend(figure: Figure, *others: Line2D) -> None:
    """Add a legend under the diagram: colours of left, right and middle, then other lines with their labels."""
    sides = [Line2D([], [], color=plot_color(side), lw=2.5, label=side) for side in SIDE_COLORS]
    handles = [*sides, *others]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9, frameon=False)


def lighten(axes: Axes) -> None:
    """Draw a faint grid, and remove the upper and right spines."""
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a diagram as PNG atomically.

    Raises:
        InputError: The file cannot be written.
    """
    with writing(path) as temporary:
        figure.savefig(temporary, format="png")
