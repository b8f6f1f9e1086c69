"""Calibration of static cameras from the joints of one person, in their final world and unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from epitool.camera import Camera, Rig
from epitool.console import warn
from epitool.errors import GeometryError
from epitool.geometry.body.scale import ScaleRule, apply_scale
from epitool.geometry.body.vertical import apply_world, level_world
from epitool.geometry.calibration.calibrate import Calibration, calibrate
from epitool.geometry.calibration.known_cameras import judge_known
from epitool.geometry.doubts import Doubt, Level
from epitool.geometry.triangulation.labels import make_labels
from epitool.options import CalibrateOptions
from epitool.pose import Keypoints
from epitool.stages.calibrate import report
from epitool.stages.calibrate.inputs import read_places, with_intrinsics
from epitool.stages.shared.camera_verdict import read_inherited_file, unsure_lenses
from epitool.stages.shared.doubts import Asked, doubt_text, refusal_text, word_verdict
from epitool.stages.shared.reported import is_reported


@dataclass(frozen=True)
class Choices:
    """The settings of a calibration, as `calibrate.run` makes them from its options.

    Attributes:
        method: "essential" or "fundamental".
        focal: What is known about the lenses, as in `geometry.calibration.calibrate`.
        rule: Rule that fixes the scale in millimetres.
        up: "people" to turn the world upright.
        lenses: File that the intrinsics were read from.
        places: Cameras whose positions and orientations are kept.
        seed: Seed of the random sampling.
        jobs: Number of pairs solved at a time.
        stated: Doubts, with their levels, that the given files state of their own cameras.
        known: Those of them that a command of the same chain has reported.
        sync: Doubts about the offsets in time that the joints were synchronized by.
    """

    method: str
    focal: str
    rule: ScaleRule | None
    up: str | None
    lenses: Path | None
    places: Rig | None
    seed: int
    jobs: int
    stated: tuple[tuple[Level, str], ...] = ()
    sync: tuple[Doubt, ...] = ()
    known: frozenset[str] = frozenset()


def choices_of(options: CalibrateOptions, rule: ScaleRule | None, views: Sequence[str]) -> Choices:
    """Return the settings that the options ask for, for these views.

    Raises:
        InputError: The file of `--extrinsics` lacks a view.
        GeometryError: The cameras of `--extrinsics` have the verdict "fail".
    """
    stated = options.intrinsics or options.extrinsics
    focal = "refined" if options.refine_intrinsics else "known" if stated else "field" if options.fov else "unknown"
    known = read_places(options.extrinsics, views) if options.extrinsics else None
    doubts = unsure_lenses(options.intrinsics) if options.intrinsics else []
    if options.extrinsics:
        doubts += read_inherited_file(options.extrinsics, f"the cameras of {options.extrinsics.name}")
    if failed := [text for level, text in doubts if level == "fail"]:
        raise GeometryError(f"{options.extrinsics}: no cameras to go on from: {' '.join(failed)}")
    told = {text for _, text in doubts} if options.extrinsics and is_reported(options.extrinsics) else set()
    return Choices(
        options.method, focal, rule, options.up, stated, known, options.seed, options.jobs, tuple(doubts),
        known=frozenset(told),
    )  # fmt: skip


def solve_cameras(joints: Keypoints, cameras: Sequence[Camera], choices: Choices) -> Calibration:
    """Return the cameras up to scale, or with the given positions and orientations.

    Raises:
        GeometryError: The joints do not determine the cameras.
    """
    if choices.places:
        rig = with_intrinsics(choices.places.select(joints.views), cameras)
        verdict = judge_known(joints, rig, choices.jobs)
        kept = [name for name in rig.names if name not in verdict.strangers]
        return Calibration(rig.select(kept), left_out=dict(verdict.strangers), verdict=verdict)
    c = choices
    return calibrate(joints, cameras, method=c.method, seed=c.seed, jobs=c.jobs, focal=c.focal)


def finish_rig(joints: Keypoints, result: Calibration, choices: Choices) -> tuple[Rig, dict[str, Any]]:
    """Return the rig in its final world and unit, and its statistics for the camera file.

    Raises:
        GeometryError: The rig has the verdict "fail", or triangulates no joint.
        VerticalError: The vertical is asked for and not known.
    """
    if result.verdict:
        result = replace(result, verdict=result.verdict.with_doubts(choices.sync))
    if result.verdict and result.verdict.level == "fail":
        asked = Asked(1.0 if result.rig.unit == "mm" else None, choices.lenses is not None)
        also = [*report.two_people(result), *report.hardly_seen(joints, result.rig.names)]
        raise GeometryError(refusal_text(result.verdict, asked, also))
    own = joints.select_views(result.rig.names)
    labels = make_labels(own, result.rig, jobs=choices.jobs)
    if not np.isfinite(labels.poses.xyz).any():
        raise GeometryError("no joint can be triangulated with these cameras; are the views in sync and in order?")
    rig, levelled = result.rig, None
    if choices.up:
        levelled = level_world(labels.poses, rig)
        rig = replace(apply_world(rig, levelled.R, levelled.t), up=choices.up)
        for doubt in levelled.doubts:
            warn(doubt_text(doubt))
    if choices.rule or not (choices.places and rig.unit == "mm"):
        rig = apply_scale(rig, labels.poses, choices.rule)
    method = "given" if choices.places else choices.method
    grown = _grown(result.rig, rig)
    asked = Asked(grown if rig.unit == "mm" else None, choices.lenses is not None)
    said = word_verdict(result.verdict, asked, choices.stated) if result.verdict else None
    statistics = report.statistics(result, said, labels, asked, grown, method, choices.lenses)
    if levelled:
        statistics |= {"up": "people", "up_sd_deg": round(levelled.sd_deg, 3)}
    report.warn_where_doubtful(result, said, labels, choices.known)
    return rig, statistics


def _grown(before: Rig, after: Rig) -> float:
    """Return the ratio of the second rig's size to the first's."""
    lengths = [np.linalg.norm(rig.cameras[0].center - rig.cameras[1].center) for rig in (before, after)]
    return float(lengths[1] / lengths[0])
