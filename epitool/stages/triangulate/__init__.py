"""`epitool triangulate`: computes `labels.h5` from `keypoints.h5` and `cameras.toml`, a chunk of frames at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from epitool.console import Summary, counted, named, progress, say, warn
from epitool.errors import GeometryError
from epitool.geometry.calibration.verdict import Verdict
from epitool.geometry.doubts import Kind
from epitool.io.keypoints_h5 import KeypointsFile, open_keypoints
from epitool.io.labels_h5 import LabelsWriter, writing_labels
from epitool.options import TriangulateOptions
from epitool.parallel import use_backend
from epitool.skeleton import Skeleton
from epitool.skeleton import skeleton as named_skeleton
from epitool.stages.shared.camera_checks import check_unit
from epitool.stages.shared.camera_verdict import read_inherited
from epitool.stages.shared.doubts import Asked, Said, omission_texts, shortened, word_verdict
from epitool.stages.shared.footage import check_rates_of, require_somebody
from epitool.stages.shared.people import LEAST_FRAMES, Chosen, report_choice, warn_of_mirrors
from epitool.stages.shared.reported import is_reported
from epitool.stages.shared.waiting import saying_what_is_compiled
from epitool.stages.triangulate.checks import doubts_of_bodies
from epitool.stages.triangulate.known_cameras import Fitting, leave_out_misfits, windows_of_views
from epitool.stages.triangulate.labelling import Labelled, Labelling
from epitool.stages.triangulate.smoothing import smooth_everyone, warn_of_unknown_rate

_USUAL_SKELETON, _MOST_OF_A_PERSON = "h36m17", 0.5


@dataclass(frozen=True, eq=False)
class _Person:
    """A person whose labels are in the file, and the verdict on them."""

    name: str
    labelled: Labelled
    said: Said


def run(options: TriangulateOptions) -> Summary:
    """Triangulate world poses, which are labels for training (paper, section 3.1).

    Raises:
        UsageError: The backend does not exist or does not answer.
        InputError: A file cannot be read, or the cameras are not those of the views.
        GeometryError: No frame can be solved, or the first person's labels get the verdict "fail".
    """
    keypoints, cameras = options.keypoints, options.cameras
    with (
        open_keypoints(keypoints, options.min_confidence) as source,
        use_backend(options.backend),
        saying_what_is_compiled(),
    ):
        target = named_skeleton(options.skeleton) if options.skeleton else _own_or_usual(source.skeleton)
        found = leave_out_misfits(source, windows_of_views(source, cameras), cameras, options.jobs)
        check_rates_of(found.sample, keypoints)
        work = Labelling(found.windows, target, options)
        readers = _readers(found, options.most_people)
        if options.smooth:
            warn_of_unknown_rate(found.sample, keypoints)
        with writing_labels(options.out, source.frames) as writer:
            people = _write_everyone(readers, writer, work, found)
            if options.smooth:
                smooth_everyone(writer, options.jobs)
    check_unit(cameras, work.rig, people[0].labelled.usual.poses)
    known = _stated_reasons(found) if is_reported(cameras) else set()
    return _summary(people, omission_texts(found.left_out, _asked(found)), target, options, known)


def _readers(found: Fitting, most: int | None) -> Sequence[KeypointsFile | Chosen]:
    """Return the people whose labels are made, at most so many, and report who they are.

    Raises:
        GeometryError: Several people are in view, but no two views agree on anybody.
    """
    if not isinstance(found.reader, Chosen):
        return [found.reader]
    if not len(found.reader.people):
        raise GeometryError(
            f"{found.reader.source.path}: people are in view, but no two views agree on anybody; do they show the same"
            " people, in sync, and are the cameras those of the recording?"
        )
    people, brief = found.reader.everyone(most)
    if len(people) == 1:
        report_choice(found.reader)
    else:
        warn_of_mirrors(people, found.windows[0].rig)
        say(f"several people: {len(people)} get labels, each their own")
    if brief:
        say(f"others, on whom views agree in fewer than {LEAST_FRAMES} frames, get no labels: {brief}")
    return people


def _write_everyone(
    readers: Sequence[KeypointsFile | Chosen], writer: LabelsWriter, work: Labelling, found: Fitting
) -> list[_Person]:
    """Write the labels of everyone.

    Raises:
        GeometryError: No frame can be solved, or the first person's labels get the verdict "fail".
    """
    options = work.options
    with progress("triangulate", sum(map(len, readers))) as done:
        # the sample has frames in which the person is lost where others are not
        first = work.write(readers[0], writer, done, found.sample if readers[0] is found.reader else None)
        if not first.tally.solved:
            require_somebody(found.sample, options.keypoints, options.min_confidence)
            raise GeometryError(
                f"{options.keypoints}: no frame has enough joints seen by two views, in front of both cameras; are the"
                f" cameras of {options.cameras} those of the recording, for images that were not cropped, with axes x"
                " right, y down, z forward?"
            )
        said = _word_labels_verdict(found, first, options)
        if said.level == "fail":
            raise GeometryError(f"no labels to be trusted, and nothing is written: {said.text}")
        writer.judge(said.level, said.reasons)
        others = [_write_further_person(reader, writer, work, found, done) for reader in readers[1:]]
    return [_Person(writer.person, first, said), *(other for other in others if other)]


def _write_further_person(
    reader: KeypointsFile | Chosen, writer: LabelsWriter, work: Labelling, found: Fitting, done: Callable[[int], None]
) -> _Person | None:
    """Write a further person's labels; return None, and report why, if they cannot be trusted or are too few."""
    own = writer.another(reader.frames)
    try:
        labelled = work.write(reader, own, done)
        if labelled.tally.solved < LEAST_FRAMES:
            raise GeometryError(f"enough joints fit together in too few frames, {labelled.tally.solved}")
        said = _word_labels_verdict(found, labelled, work.options)
        if said.level == "fail":
            raise GeometryError(f"they are not to be trusted: {said.text}")
    except GeometryError as error:
        writer.take_back()
        warn(f"somebody in frames {reader.frames[0]} to {reader.frames[-1]} gets no labels: {error}")
        return None
    own.judge(said.level, said.reasons)
    return _Person(own.person, labelled, said)


def _word_labels_verdict(found: Fitting, labelled: Labelled, options: TriangulateOptions) -> Said:
    """Return the verdict on one person's labels and the cameras."""
    bodies = doubts_of_bodies(labelled.usual.poses, options.keypoints)
    return word_verdict(
        found.verdict, _asked(found), [*read_inherited(found.windows), *bodies, *labelled.tally.doubts()]
    )


def _stated_reasons(found: Fitting) -> set[str]:
    """Return the doubts that follow from the camera file alone, as `word_verdict` words them and as the file does."""
    absent = {name: doubt for name, doubt in found.left_out.items() if doubt.kind is Kind.NO_CAMERA}
    said = word_verdict(Verdict(left_out=absent), _asked(found), read_inherited(found.windows))
    return {*said.reasons, *(reason for window in found.windows for reason in window.reasons)}


def _asked(found: Fitting) -> Asked:
    return Asked(1.0 if found.windows[0].rig.unit == "mm" else None, lenses_given=True)


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


def _summary(
    people: Sequence[_Person],
    left_out: dict[str, str],
    target: Skeleton,
    options: TriangulateOptions,
    known: Collection[str],
) -> Summary:
    for person in people:
        _report(person, people[0], known)
    tally, settings, verdict = people[0].labelled.tally, people[0].labelled.settings, people[0].said.level
    error, _ = tally.medians()
    whose = f"{people[0].name} in " if len(people) > 1 else ""
    text = (
        f"{options.out}: {whose}{tally.solved} of {tally.frames} frames, {len(target)} joints, {len(tally.rig)} views"
    )
    text += f", median reprojection error {error:.1f} px" + ", then smoothed over time" * options.smooth
    text += f", unit {tally.rig.unit}, verdict: {verdict}"
    for person in people[1:]:
        own = person.labelled.tally
        text += f"; {person.name} in {own.solved} of {own.frames} frames, verdict: {person.said.level}"
    values = {
        "out": str(options.out), "unit": tally.rig.unit,
        "method": settings.method if settings.combine == "vector-median" else None,  # robust solves no pairs
        "combine": settings.combine, "smoothed": options.smooth, **_values(people[0]), "left_out": left_out,
        "people": [{"person": person.name, **_values(person)} for person in people],
    }  # fmt: skip
    return Summary(text, values)


def _report(person: _Person, first: _Person, known: Collection[str]) -> None:
    """Report the sides put right, and warn of the doubts that are neither known nor the first person's too."""
    whose = "" if person is first else f"{person.name}: "
    if swaps := _swaps(person):
        views = ", ".join(f"{view} in {counted(n, 'frame')}" for view, n in swaps.items())
        sure = "" if person.said.level == "pass" else ", if the cameras are right"
        say(f"{whose}left and right were exchanged by the detector{sure}, and are put right: {views}")
    if person is first and person.labelled.tally.unseen:
        warn(f"nobody was found in {named('view', person.labelled.tally.unseen)}; the poses are of the other views")
    known = known if person is first else {*known, *first.said.reasons}
    own = [reason for reason in person.said.reasons if reason not in known]
    for reason in shortened(own, "the labels' file has the others"):
        warn(f"{whose}{reason}")


def _values(person: _Person) -> dict[str, Any]:
    tally = person.labelled.tally
    return {
        "frames": tally.frames, "solved": tally.solved, "noise_px": person.labelled.settings.noise.sigma_px,
        "median_reprojection_px": tally.medians()[0], "frames_with_left_and_right_swapped": _swaps(person),
        "verdict": person.said.level, "reasons": list(person.said.reasons), "keypoints_that_fit": tally.fit,
    }  # fmt: skip


def _swaps(person: _Person) -> dict[str, int]:
    """Return the number of frames with left and right exchanged, of the views where there are any."""
    tally = person.labelled.tally
    return {view: int(n) for view, n in zip(tally.rig.names, tally.swaps, strict=True) if n}
