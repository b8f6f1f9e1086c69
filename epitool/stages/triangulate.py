"""`epitool triangulate`: `keypoints.h5` and `cameras.toml` to `labels.h5`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from epitool.console import Summary, say, warn
from epitool.errors import GeometryError, InputError
from epitool.geometry.labels import convert_labels, frames_solved, label
from epitool.io.cameras import read_rig
from epitool.io.labels import read_keypoints, write_labels
from epitool.pose import Labels
from epitool.skeleton import skeleton as named_skeleton

_DOUBTFUL_ERROR = 0.025  # of the person's box; detectors are off by about 0.01


def run(
    *, keypoints: Path, cameras: Path, method: str, skeleton: str, min_confidence: float, out: Path, jobs: int
) -> Summary:
    """Triangulates world poses: labels for training (paper, section 3.1).

    Args:
        keypoints: The `keypoints.h5`.
        cameras: The `cameras.toml`, or another camera file with places.
        method: "polynomial" (pairs, then vector median) or "dlt" (all views at once).
        skeleton: Joints that the labels shall have.
        min_confidence: Joints under it are left out.
        out: The `labels.h5` to write.
        jobs: Chunks of frames at a time.

    Raises:
        InputError: A file cannot be read, or the cameras are not those of the views.
        GeometryError: No frame can be solved.
    """
    target = named_skeleton(skeleton)
    joints = read_keypoints(keypoints)
    if len(joints.views) < 2:
        raise GeometryError(f"{keypoints}: one view ({', '.join(joints.views)}); triangulation needs two or more")
    rig = read_rig(cameras)
    views = [view for view in joints.views if view in rig.names]
    if len(views) < 2:
        raise InputError(
            f"{cameras}: has cameras {', '.join(rig.names)}, but {keypoints} has views {', '.join(joints.views)};"
            " at least two must have the same name"
        )
    order = [name for name in rig.names if name in views]  # the calibration's order says who is whose neighbour
    found = label(
        joints.select_views(order), rig.select(order), method=method, min_confidence=min_confidence, jobs=jobs
    )
    labels = convert_labels(found, target)
    solved = frames_solved(labels)
    if not solved.any():
        raise GeometryError(f"{keypoints}: no frame has enough joints seen by two neighbouring views")
    write_labels(out, labels)
    return _summary(labels, int(solved.sum()), method, out)


def _summary(labels: Labels, solved: int, method: str, out: Path) -> Summary:
    swaps = {view: int(n) for view, n in zip(labels.keypoints.views, labels.swapped.sum(axis=0), strict=True) if n}
    if swaps:
        found = ", ".join(f"{view} in {n} frames" for view, n in swaps.items())
        say(f"left and right were exchanged by the detector and are put right: {found}")
    error = float(np.nanmedian(labels.reprojection_px))
    side = float(np.nanmedian(labels.keypoints.boxes()[..., 2]))
    if error > _DOUBTFUL_ERROR * side:
        warn(
            f"the median reprojection error of {error:.1f} px is {error / side:.0%} of the person's size in the images;"
            " do not trust these labels: are the views in sync, of one person, and calibrated?"
        )
    frames = len(labels.poses.frames)
    text = f"{out}: {solved} of {frames} frames, {len(labels.poses.skeleton)} joints"
    text += f", median reprojection error {error:.1f} px, unit {labels.rig.unit}"
    values = {
        "out": str(out), "frames": frames, "solved": solved, "method": method, "unit": labels.rig.unit,
        "median_reprojection_px": error, "frames_with_left_and_right_swapped": swaps,
    }  # fmt: skip
    return Summary(text, values)
