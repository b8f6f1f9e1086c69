"""What becomes of a scene that is hard or hopeless: every one must end in one of a few named ways."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from conftest import exact_labels

from epitool.camera import Rig
from epitool.errors import GeometryError
from epitool.geometry.calibration.calibrate import Calibration, calibrate
from epitool.geometry.calibration.compare import compare_rigs
from epitool.labels import Labels
from epitool.pose import Keypoints
from epitool.stages.shared.doubts import Asked, word_verdict
from epitool.synthetic import noisy_keypoints

FRAMES = 100


def scene(views: int = 4, xyz: np.ndarray | None = None, rig: Rig | None = None) -> Labels:
    """A person before some of the four cameras; or other joints, or other cameras."""
    labels = exact_labels(frames=FRAMES, seed=2, rig=rig)
    if xyz is not None:
        xy = labels.rig.project(xyz)
        inside = ((xy >= 0) & (xy <= 383)).all(axis=-1)
        keypoints = replace(labels.keypoints, xy=xy, confidence=inside.astype(float))
        labels = replace(labels, poses=replace(labels.poses, xyz=xyz), keypoints=keypoints)
    names = labels.rig.names[:views]
    return Labels(
        labels.poses, labels.keypoints.select_views(names), labels.rig.select(names),
        labels.reprojection_px[:, :views], labels.swapped[:, :views],
    )  # fmt: skip


def detected(labels: Labels, sigma_px: float = 1.0, outliers: float = 0.03, seed: int = 0) -> Keypoints:
    return noisy_keypoints(labels, sigma_px=sigma_px, outliers=outliers, swap_share=0.0, seed=seed)


def solved(keypoints: Keypoints, rig: Rig) -> Calibration:
    return calibrate(keypoints, rig.cameras, method="essential", seed=0, jobs=1)


def outcome(keypoints: Keypoints, rig: Rig) -> str:
    """The verdict's level and its reasons in one line; or the error. Never trusted and wrong."""
    try:
        found = solved(keypoints, rig)
    except GeometryError as error:
        return f"error: {error}"
    wrong = max(pair.rotation_deg for pair in compare_rigs(found.rig, rig))
    assert found.verdict.level != "pass" or wrong < 3, f"trusted, and {wrong:.0f} degrees off"
    return f"{found.verdict.level}: {word_verdict(found.verdict, Asked(lenses_given=True)).text}"


def worst_deg(found: Calibration, rig: Rig) -> float:
    return max(pair.rotation_deg for pair in compare_rigs(found.rig, rig))
