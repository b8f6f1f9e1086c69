"""What the steps of `epitool mocap` found, in one line each: whether to trust it, and what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from epitool.console import printable

_SEEN_WELL = 0.8  # share of its images in which a view should show the person


def judge_joints(found: dict[str, Any], keypoints: Path) -> str:
    """Say whether to trust the 2D joints of a recording.

    Args:
        found: Summary of `detect2d`.
        keypoints: File of the joints.
    """
    images, people = found["images"], found["views"]  # of a view that ends early there are fewer images than frames
    shares = {view: count / max(images[view], 1) for view, count in people.items()}
    worst = min(shares, key=lambda view: shares[view])
    seen = f"a person is found in {sum(people.values()) / max(sum(images.values()), 1):.0%} of the images"
    if shares[worst] >= _SEEN_WELL:
        return f"Joints: good, {seen}. Going on."
    return (
        f"Joints: doubtful, {seen}, but only in {shares[worst]:.0%} of those of {printable(worst)}. Going on;"
        f" `epitool show {keypoints}` shows whether the dots follow the person."
    )


def judge_cameras(found: dict[str, Any], lenses_given: bool) -> str:
    """Say whether to trust the cameras, by the summary of `calibrate`."""
    verdict, error = found.get("verdict", "pass"), f"joints fit to {found['median_reprojection_px']:.1f} px"
    lost = [printable(name) for name in found.get("left_out", {})]
    without = f", without {', '.join(lost)}" if lost else ""
    scale = "" if found["unit"] == "mm" else " Lengths have no unit: add --scale height=1.78m."
    if verdict == "pass":
        return f"Cameras: good, {error}{without}. Going on.{scale}"
    cure = "a longer walk through the space that all cameras see" + ("" if lenses_given else ", or --intrinsics")
    return (
        f"Cameras: to be used with care, {error}{without}; the warnings above say what is uncertain. Going on.{scale}"
        f" For better ones: {cure}."
    )


def judge_poses(found: dict[str, Any], page: Path) -> str:
    """Say whether to trust the 3D joints of a recording.

    Args:
        found: Summary of `triangulate`.
        page: Page that shows them.
    """
    how = f"{found['solved']} of {found['frames']} frames, {found['median_reprojection_px']:.1f} px"
    if found["verdict"] == "pass":
        return f"Poses: good, {how}. Going on; look at {page} all the same."
    return f"Poses: to be used with care, {how}; the warnings above say why. Look at {page} before you use them."
