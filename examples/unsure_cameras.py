"""What labels from unsure cameras are worth: poses by every two, three and four views of the sample, against the best.

Run `epitool demo` (or `detect2d` on the sample recording) first, then `python examples/unsure_cameras.py keypoints.h5`.
A row: views, whether lenses are known, the worst true error and stated deviation of a rotation, the stated deviation of
a place in shares of the cameras' distances, the mean error of the poses, and that of poses by the shipped cameras.
Poses are compared joint by joint after a similarity (PMPJPE) with those by the shipped cameras and all four views.
"""

import itertools
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool import read_keypoints, read_rig
from epitool.camera import Rig
from epitool.errors import GeometryError
from epitool.geometry.calibration.calibrate import assumed_intrinsics, calibrate
from epitool.geometry.calibration.compare import compare_rigs
from epitool.geometry.triangulation.labels import convert_labels, make_labels
from epitool.io.sample import sample_recording
from epitool.metrics.pose import pmpjpe
from epitool.pose import Keypoints
from epitool.skeleton import skeleton

Array = NDArray[np.float64]
USUAL_FOV_DEG = 60.0


def poses(keypoints: Keypoints, rig: Rig) -> Array:
    """The 17 joints, `(F, 17, 3)` in the rig's unit."""
    return convert_labels(make_labels(keypoints.select_views(rig.names), rig, jobs=1), skeleton("h36m17")).poses.xyz


def error_mm(xyz: Array, truth: Array) -> float:
    """Mean PMPJPE of the frames in which both are whole."""
    whole = np.isfinite(xyz).all(axis=(1, 2)) & np.isfinite(truth).all(axis=(1, 2))
    return float(np.mean(pmpjpe(xyz[whole], truth[whole], root=0)))


def row(keypoints: Keypoints, shipped: Rig, truth: Array, known: bool) -> str:
    """What comes of the views of a rig."""
    lenses = (
        shipped.cameras if known else [assumed_intrinsics(c.name, c.image_size, USUAL_FOV_DEG) for c in shipped.cameras]
    )
    found = calibrate(keypoints.select_views(shipped.names), lenses, seed=0, focal="known" if known else "unknown")
    rig, bundle, verdict = found.rig, found.bundle, found.verdict
    assert bundle  # every method but the paper's adjusts
    assert verdict
    span = max(float(np.linalg.norm(a.center - b.center)) for a in rig.cameras for b in rig.cameras)
    rotation = max(pair.rotation_deg for pair in compare_rigs(rig, shipped.select(rig.names)))
    return (
        f"{rotation:6.1f} {np.degrees(bundle.rotation_sd_in_rig).max():6.1f} deg"
        f" {bundle.position_sd_in_rig.max() / span:6.1%} {error_mm(poses(keypoints, rig), truth):5.0f}"
        f" {error_mm(poses(keypoints, shipped), truth):5.0f} mm  {verdict.level}"
    )


def main(path: Path) -> None:
    """Prints a row for all views, and for all without some."""
    keypoints = read_keypoints(path)
    shipped = read_rig(sample_recording().calibration).select(keypoints.views)
    truth = poses(keypoints, shipped)
    for count in (2, 3, 4):
        for views in itertools.combinations(keypoints.views, count):
            for known in (True, False):
                name = f"{' '.join(views):24} {'known' if known else 'unknown':8}"
                try:
                    print(name, row(keypoints, shipped.select(views), truth, known), flush=True)
                except GeometryError as error:
                    print(name, error)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
