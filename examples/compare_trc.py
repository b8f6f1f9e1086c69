"""Compares labels with the poses that another program triangulated from the same 2D joints with the same cameras.

Usage: python examples/compare_trc.py labels.h5 pose-3d/trial_0-100.trc     (a .trc of Pose2Sim)

Prints what differs between them, and what needs no truth to be judged: how much a bone's length varies over the frames,
how much joints jump from frame to frame, and how far they lie from the 2D joints of all views.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.io.labels_h5 import read_labels
from epitool.labels import Labels

Array = NDArray[np.float64]
JOINTS = {"Hip": "hip", "Knee": "knee", "Ankle": "ankle", "Shoulder": "shoulder", "Elbow": "elbow", "Wrist": "wrist"}
NAMES = {side[0] + theirs: f"{side.lower()}_{ours}" for side in ("Right", "Left") for theirs, ours in JOINTS.items()}
BONES = [
    (f"{side}_{a}", f"{side}_{b}")
    for side in ("left", "right")
    for a, b in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
]


def read_trc(path: Path) -> tuple[list[str], Array]:
    """Names of the joints, and (F, J, 3) in mm with z up."""
    lines = path.read_text().splitlines()
    names = lines[3].split("\t")[2::3]
    rows = [line.split("\t") for line in lines[5:] if line.strip()]
    values = np.array([[float(cell or "nan") for cell in row[2 : 2 + 3 * len(names)]] for row in rows])
    xyz = values.reshape(len(rows), -1, 3)[:, :, [2, 0, 1]] * {"m": 1000.0, "mm": 1.0}[lines[2].split("\t")[4]]
    return [name for name in names if name], xyz


def describe(name: str, xyz: Array, joints: list[str], labels: Labels) -> None:
    """Prints a row for poses (F, J, 3) of the named joints."""
    lengths = [np.linalg.norm(xyz[:, joints.index(a)] - xyz[:, joints.index(b)], axis=-1) for a, b in BONES]
    vary = np.mean([np.nanstd(length) / np.nanmean(length) for length in lengths])
    jump = np.nanmedian(np.linalg.norm(np.diff(xyz, n=2, axis=0), axis=-1))
    seen = labels.keypoints.xy[:, :, [labels.keypoints.skeleton.joints.index(joint) for joint in joints]]
    apart = np.linalg.norm(labels.rig.project(xyz) - seen, axis=-1)
    apart = apart[np.isfinite(apart)]
    print(
        f"{name:8} {np.isfinite(xyz).all(-1).mean():8.1%} {vary:14.1%} {jump:16.1f}"
        f" {np.median(apart):10.1f} {np.percentile(apart, 90):10.1f}"
    )


def main() -> None:
    """Prints the table."""
    labels = read_labels(Path(sys.argv[1]))
    names, theirs = read_trc(Path(sys.argv[2]))
    shared = [name for name in names if name in NAMES and NAMES[name] in labels.poses.skeleton.joints]
    joints = [NAMES[name] for name in shared]
    theirs = theirs[:, [names.index(name) for name in shared]]
    ours = labels.poses.xyz[:, [labels.poses.skeleton.joints.index(joint) for joint in joints]]
    count = min(len(ours), len(theirs))
    apart = np.linalg.norm(ours[:count] - theirs[:count], axis=-1)
    print(
        f"{count} frames, {len(joints)} joints; apart: median {np.nanmedian(apart):.1f} mm,",
        f"90%: {np.nanpercentile(apart, 90):.1f}",
    )
    print("            joints  bones vary by  jump mm/frame^2   to 2D px   90% px")
    describe("epitool", ours[:count], joints, labels.between(0, count))
    describe("theirs", theirs[:count], joints, labels.between(0, count))


main()
