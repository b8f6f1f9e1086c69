"""The table of docs/geometry.md: cameras and triangulation of the sample recording, before and after each step.

python examples/step_by_step.py keypoints.h5     (made by `epitool detect2d` from the recording's four videos)
"""

import sys
from pathlib import Path

import numpy as np

from epitool.camera import Rig
from epitool.geometry.body.scale import distance_between
from epitool.geometry.calibration.calibrate import assumed_intrinsics, calibrate
from epitool.geometry.calibration.compare import compare_rigs
from epitool.geometry.triangulation.labels import convert_labels, make_labels
from epitool.io.cameras import read_rig
from epitool.io.keypoints_h5 import read_keypoints
from epitool.io.sample import sample_recording
from epitool.pose import Keypoints
from epitool.skeleton import skeleton
from epitool.stages.calibrate.inputs import intrinsics_of

BONES = (("left_hip", "left_knee"), ("right_hip", "right_knee"), ("left_shoulder", "right_shoulder"))


def main() -> None:
    """Prints the table."""
    keypoints = read_keypoints(Path(sys.argv[1]))
    calibration = sample_recording().calibration
    shipped = read_rig(calibration).select(keypoints.views)
    lenses = intrinsics_of(keypoints, calibration, None, "essential")
    guessed = [assumed_intrinsics(camera.name, camera.image_size, 60.0) for camera in lenses]
    people = calibrate(keypoints, lenses, method="essential").rig
    rows = [
        ("the paper", calibrate(keypoints, lenses, method="fundamental").rig, "vector-median"),
        ("shipped", shipped, "vector-median"),
        ("shipped", shipped, "robust"),
        ("from people", people, "vector-median"),
        ("from people", people, "robust"),
        ("lenses unknown", calibrate(keypoints, guessed, method="essential", focal="unknown").rig, "robust"),
    ]
    for name, rig, combine in rows:
        print(f"{name:15} {combine:14}", *measured(keypoints, rig, combine, shipped), sep="  ")


def measured(keypoints: Keypoints, rig: Rig, combine: str, shipped: Rig) -> list[str]:
    """Differences from the shipped cameras in degrees, reprojection errors in px, lengths in mm."""
    labels = make_labels(keypoints, rig, method="polynomial", jobs=-1, combine=combine)
    labels = convert_labels(labels, skeleton("h36m17"))
    pairs = [pair for pair in compare_rigs(rig, shipped) if pair.consecutive]
    true, found = (np.linalg.norm(r.cameras[0].center - r.cameras[1].center) for r in (shipped, rig))
    lengths = [distance_between(labels.poses, *bone) * true / found for bone in BONES]
    return [
        "rotation " + " ".join(f"{pair.rotation_deg:.1f}" for pair in pairs),
        "direction " + " ".join(f"{pair.direction_deg:.1f}" for pair in pairs),
        f"px {np.nanmedian(labels.reprojection_px):.1f}:",
        " ".join(f"{np.nanmedian(view):.0f}" for view in labels.reprojection_px.transpose(1, 0, 2)),
        "mm " + ", ".join(f"{np.nanmedian(length):.0f} +- {np.nanstd(length):.0f}" for length in lengths),
    ]


if __name__ == "__main__":
    main()
