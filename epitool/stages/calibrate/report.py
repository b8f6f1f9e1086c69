"""Report of `epitool calibrate` on its result: tables, statistics for the camera file, and warnings."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from epitool.console import counted, say, show_table, warn
from epitool.geometry.calibration.calibrate import Calibration
from epitool.geometry.calibration.verdict import Weakness, weakness
from epitool.geometry.two_view.relative_pose import PairPose
from epitool.labels import Labels
from epitool.pose import Keypoints
from epitool.stages.shared.doubts import Asked, Said, omission_texts, shortened

_TORN = 0.6
_HARDLY = 0.1  # share of the frames that the usual view shows joints in
_NO_PARALLAX = "no parallax: the cameras stand at one place, or the person is too far away"


def show(result: Calibration) -> None:
    """Print tables of pairs and cameras on stderr."""
    if result.pairs:
        rows = [
            [f"{a} - {b}", f"{p.matches}", f"{p.inlier_share:.0%}", f"{p.sampson_px:.1f}", f"{p.parallax_deg:.0f}",
             f"{int(p.swapped.sum())}"]
            for (a, b), p in result.pairs.items()
        ]  # fmt: skip
        columns = ["views", "joints in common", "that fit", "error px", "parallax deg", "frames swapped"]
        show_table("Pairs of views, each by itself", columns, rows)
        for (a, b), pair in result.pairs.items():
            if remark := _remark(pair):
                say(f"{a} - {b}: {remark}")
    if bundle := result.bundle:
        span = _span(result)
        rows = [
            [name, f"{np.degrees(r):.2f}", f"{p / span:.2%}", f"{c.focal:.0f}", f"{f:.1%}" if f else "held", f"{i:.0%}"]
            for name, c, r, p, f, i in zip(
                result.rig.names, result.rig.cameras, bundle.rotation_sd_in_rig, bundle.position_sd_in_rig,
                bundle.focal_sd, bundle.inlier_share, strict=True,
            )
        ]  # fmt: skip
        columns = ["view", "rotation sd deg", "place sd", "focal px", "focal sd", "keypoints that fit"]
        show_table("Cameras together, each against the others; places in shares of their distances", columns, rows)


def _remark(pair: PairPose) -> str:
    """Return what is weak about a pair of views by itself; empty if nothing is."""
    weak = weakness(pair)
    words = {
        Weakness.FEW_FIT: f"only {pair.inlier_share:.0%} of the joints fit one geometry",
        Weakness.NO_PARALLAX: _NO_PARALLAX,
        Weakness.NARROW: "narrow baseline",
        Weakness.FLAT: "the joints might lie in a plane",
    }
    return words[weak] if weak else ""


def statistics(
    result: Calibration, said: Said | None, labels: Labels, asked: Asked, factor: float, method: str,
    intrinsics: Path | None,
) -> dict[str, Any]:  # fmt: skip
    """Return what the camera file states about its own origin, as plain values.

    Args:
        result: The calibration.
        said: The verdict on the calibration in words.
        labels: Poses triangulated with the calibration.
        asked: Settings that the words depend on.
        factor: Factor that lengths of the calibration were multiplied by.
        method: Method that the cameras were found with.
        intrinsics: File that K was read from, if any.
    """
    swaps = dict(zip(labels.keypoints.views, labels.swapped.sum(axis=0).tolist(), strict=True))
    return {
        "method": method,
        "intrinsics": intrinsics.name if intrinsics else "estimated" if _focal_free(result) else "assumed",
        **_adjustment(result, said, asked, factor),
        "median_reprojection_px": round(float(np.nanmedian(labels.reprojection_px)), 3),
        "frames_used": len(labels.keypoints.frames),
        "frames_with_left_and_right_swapped": swaps,
        "pairs": [
            {
                "views": [a, b],
                "matches": pair.matches,
                "inlier_share": round(pair.inlier_share, 4),
                "sampson_px": round(pair.sampson_px, 3) if np.isfinite(pair.sampson_px) else "none",
                "parallax_deg": round(pair.parallax_deg, 2) if np.isfinite(pair.parallax_deg) else "none",
                "frames_with_one_view_swapped": int(pair.swapped.sum()),
                "remark": _remark(pair),
            }
            for (a, b), pair in result.pairs.items()
        ],
    }


def _adjustment(result: Calibration, said: Said | None, asked: Asked, factor: float) -> dict[str, Any]:
    if not said:
        return {}
    judged = {"verdict": said.level, "reasons": list(said.reasons), "left_out": omission_texts(result.left_out, asked)}
    if not result.bundle:
        return judged
    bundle = result.bundle
    deviations = {
        name: {
            "rotation_deg": round(float(np.degrees(bundle.rotation_sd[v])), 4),
            "position": round(float(bundle.position_sd[v] * factor), 4),
            "rotation_in_rig_deg": round(float(np.degrees(bundle.rotation_sd_in_rig[v])), 4),
            "position_in_rig": round(float(bundle.position_sd_in_rig[v] * factor), 4),
            "focal_share": round(float(bundle.focal_sd[v]), 5),
            "gross_error_share": round(float(1 - bundle.inlier_share[v]), 4),
        }
        for v, name in enumerate(result.rig.names)
    }
    return {
        **judged,
        "noise_px": round(bundle.sigma_px, 3),
        "standard_deviations": deviations,
    }


def _focal_free(result: Calibration) -> bool:
    return result.bundle is not None and bool(result.bundle.focal_sd.any())


def _span(result: Calibration) -> float:
    centers = np.stack([camera.center for camera in result.rig.cameras])
    return float(np.linalg.norm(centers[:, None] - centers, axis=-1).max())


def warn_where_doubtful(
    result: Calibration, said: Said | None, labels: Labels, known: Collection[str] = ()
) -> None:  # fmt: skip
    """Warn of reasons not to trust the result that are not known already, and report what was corrected."""
    for doubt in two_people(result):
        warn(doubt)
    reasons = [reason for reason in said.reasons if reason not in known] if said else []
    for reason in shortened(reasons, "the camera file has the others"):
        warn(reason)
    if not said:
        for (a, b), pair in result.pairs.items():
            if weakness(pair) is Weakness.FEW_FIT:
                share = f"only {pair.inlier_share:.0%} of {pair.matches} joints fit their geometry"
                warn(f"views {a} and {b}: {share}; do not trust it")
    for view, swapped in zip(labels.keypoints.views, labels.swapped.sum(axis=0).tolist(), strict=True):
        if swapped:
            say(
                f"view {view}: the detector exchanged left and right in {counted(swapped, 'frame')}; taken into account"
            )


def two_people(result: Calibration) -> list[str]:
    """Return advice if in many pairs of views hardly half of the joints fit, which happens with two people."""
    torn = [pair for pair, found in result.pairs.items() if found.inlier_share < _TORN]
    if not torn or len(torn) < len(result.pairs) / 3:
        return []
    return [
        f"in {len(torn)} of {len(result.pairs)} pairs hardly half of the joints fit one geometry: are the views in"
        " sync, and do they show the same person? are there two people? Where a detector finds one an image, it may be"
        " another in each view: use one that finds all"
    ]


def hardly_seen(joints: Keypoints, views: Sequence[str]) -> list[str]:
    """Return advice to leave out views with joints in a small part of the others' frames, as long as two remain.

    Such a view has a camera that is hardly known, and makes those of the others doubtful.

    Args:
        joints: The joints of all views.
        views: Views that have a camera.
    """
    frames = joints.select_views(views).seen.any(axis=2).sum(axis=0)
    few = {view: n for view, n in zip(views, frames.tolist(), strict=True) if n < _HARDLY * np.median(frames)}
    if len(kept := [view for view in views if view not in few]) < 2:
        return []
    return [
        f"view {view} shows joints in only {n} of {len(joints.frames)} frames, too few to tell where it stands: leave"
        f" it out (--views {' '.join(kept)})"
        for view, n in few.items()
    ]
