"""`epitool convert` of poses to a diagram of their joint angles."""

from __future__ import annotations

from pathlib import Path

from epitool.io.foreign.motion import Told, angles_of
from epitool.pose import Poses


def draw_angles(path: Path, poses: Poses, scale: float, told: Told) -> float:
    """Draw joint angles over time as a PNG; the arguments and what is returned are those of `write_motion`.

    Raises:
        InputError: The poses are of no person, or the file cannot be written.
    """
    from epitool.viz.angles import plot_angles  # imports matplotlib, which no other format needs

    plot_angles(path, told.seconds(poses.frames), angles_of(path, poses), told.done)
    return 0.0
