"""`epitool triangulate`: computes `labels.h5` from `keypoints.h5` and `cameras.toml`, a chunk of frames at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from epitool.camera import Rig, Window
from epitool.console import Summary, progress, say, warn
from epitool.errors import GeometryError
from epitool.geometry.triangulation.labels import (
    LabelSettings,
    chunk_bounds,
    convert_labels,
    further_of,
    label_chunk,
    label_settings,
)
from epitool.io.keypoints_h5 import open_keypoints
from epitool.io.labels_h5 import writing_labels
from epitool.labels import Further, Labels, Take
from epitool.options import TriangulateOptions
from epitool.parallel import backend as working_on
from epitool.parallel import stream_parallel
from epitool.skeleton import Skeleton
from epitool.skeleton import skeleton as named_skeleton
from epitool.stages.shared.camera_checks import check_stature
from epitool.stages.shared.camera_verdict import inherited
from epitool.stages.shared.doubts import Asked, Said, said_of, whys
from epitool.stages.shared.footage import check_rates_of
from epitool.stages.triangulate.checks import Tally, doubts_of_bodies, usual_poses
from epitool.stages.triangulate.chunks import Chunk, chunks_of, in_sync, resampled
from epitool.stages.triangulate.known_cameras import fitting, windows_of_views

Labeller = Callable[[Chunk], tuple[Labels, Further | None]]
_USUAL_SKELETON, _MOST_OF_A_PERSON = "h36m17", 0.5


def run(options: TriangulateOptions) -> Summary:
    """Triangulate world poses, which are labels for training (paper, section 3.1).

    Raises:
        UsageError: The backend does not exist or does not answer.
        InputError: A file cannot be read, or the cameras are not those of the views.
        GeometryError: No frame can be solved, or the labels get the verdict "fail".
    """
    keypoints, cameras = options.keypoints, options.cameras
    with open_keypoints(keypoints, options.min_confidence) as source, working_on(options.backend):
        target = named_skeleton(options.skeleton) if options.skeleton else _own_or_usual(source.skeleton)
        found = fitting(source, windows_of_views(source, cameras), options.jobs)
        check_rates_of(found.sample)
        rig, takes = found.windows[0].rig, tuple(map(_take, found.windows)) if len(found.windows) > 1 else ()
        method, combine = options.method or "polynomial", options.combine
        settings = label_settings(found.sample, rig, method=method, combine=combine, bones=options.bones)
        usual = usual_poses(found.sample, resampled(rig), settings)
        chunks = chunks_of(found.reader, found.windows, chunk_bounds(len(source), len(rig), len(source.skeleton)))
        tally = Tally(len(source), rig, convert_labels(usual, target).poses)
        with writing_labels(options.out, source.frames) as writer, progress("triangulate", len(source)) as done:
            for labels, further in stream_parallel(labeller(rig, settings, target, takes), chunks, options.jobs):
                writer.append(labels, further)
                tally.add(labels)
                done(len(labels.poses.frames))
            if not tally.solved:
                raise GeometryError(
                    f"{keypoints}: no frame has enough joints seen by two views, before both cameras; are the cameras"
                    f" of {cameras} those of the recording, with axes x right, y down, z forward?"
                )
            asked = Asked(1.0 if rig.unit == "mm" else None, lenses_given=True)
            also = [*inherited(found.windows), *doubts_of_bodies(usual.poses, keypoints), *tally.doubts()]
            said = said_of(found.verdict, asked, also)
            if said.level == "fail":
                raise GeometryError(f"no labels to be trusted, and nothing is written: {said.text}")
            writer.judge(said.level, said.reasons)
    if rig.unit != "mm" and rig.scale_source == "none":
        check_stature(cameras, usual.poses)
    return _summary(tally, said, whys(found.left_out, asked), target, settings, options.out)


def _own_or_usual(own: Skeleton) -> Skeleton:
    """Return the skeleton that networks learn, or the given one if it yields less than half of those joints.

    The latter is the case for skeletons of animals.
    """
    usual = named_skeleton(_USUAL_SKELETON)
    possible = np.isfinite(usual.weights_from(own)).all(axis=-1).mean()
    if possible >= _MOST_OF_A_PERSON:
        return usual
    say(f"the joints are no person's ({', '.join(own.joints[:3])}, ...): labels have them as they are")
    return own


def labeller(rig: Rig, settings: LabelSettings, target: Skeleton, takes: tuple[Take, ...]) -> Labeller:
    """Return a function that computes the labels and further joints of one chunk, and can be sent to a process.

    Args:
        rig: Cameras that the labels file names.
        settings: Settings for the whole recording.
        target: Skeleton of the labels.
        takes: Takes of the recording, if the cameras differ between chunks.
    """

    def work(chunk: Chunk) -> tuple[Labels, Further | None]:
        joints = in_sync(chunk)
        if chunk.rig is None:
            joints = replace(joints, xy=np.full_like(joints.xy, np.nan))
        labels = label_chunk(joints, resampled(chunk.rig or rig), settings)
        if takes:
            numbered = replace(labels.keypoints, take_of=np.full(len(joints.frames), chunk.window or 0))
            labels = replace(labels, rig=resampled(rig), takes=takes, keypoints=numbered)
        return convert_labels(labels, target), further_of(labels, target)

    return work


def _take(window: Window) -> Take:
    return Take(window.name or f"frames {window.first}-{window.last}", resampled(window.rig), window.action)


def _summary(
    tally: Tally, verdict: Said, left_out: dict[str, str], target: Skeleton, settings: LabelSettings, out: Path
) -> Summary:
    swaps = {view: int(n) for view, n in zip(tally.rig.names, tally.swaps, strict=True) if n}
    if swaps:
        found = ", ".join(f"{view} in {n} frames" for view, n in swaps.items())
        sure = "" if verdict.level == "pass" else ", if the cameras are right"
        say(f"left and right were exchanged by the detector{sure}, and are put right: {found}")
    for reason in verdict.reasons:
        warn(reason)
    error, _ = tally.medians()
    text = f"{out}: {tally.solved} of {tally.frames} frames, {len(target)} joints, {len(tally.rig)} views"
    text += f", median reprojection error {error:.1f} px, unit {tally.rig.unit}, verdict: {verdict.level}"
    values = {
        "out": str(out), "frames": tally.frames, "solved": tally.solved, "unit": tally.rig.unit,
        "method": settings.method if settings.combine == "vector-median" else None,  # robust solves no pairs
        "combine": settings.combine, "noise_px": settings.noise.sigma_px,
        "median_reprojection_px": error, "frames_with_left_and_right_swapped": swaps, "verdict": verdict.level,
        "reasons": list(verdict.reasons), "left_out": left_out, "keypoints_that_fit": tally.fit,
    }  # fmt: skip
    return Summary(text, values)
