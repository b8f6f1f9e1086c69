"""`epitool refine`: trains a refinement unit on a recording's own labels, or on motion capture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Array
from epitool.console import Summary, say, warn
from epitool.errors import GeometryError
from epitool.labels import Labels
from epitool.options import RefineOptions
from epitool.options.network import UnitOptions
from epitool.options.shared import run_folder
from epitool.stages.refine.inputs import (
    Seen,
    focal_ratio,
    hinted_by,
    mocap_poses,
    own_poses,
    read_everyone,
    select_seen,
)
from epitool.stages.shared.label_verdict import reasons_for

if TYPE_CHECKING:
    from epitool.nn.refiner import Refiner

MIN_POSES = 16
Measured = tuple[float, float]


def run(options: RefineOptions) -> Summary:
    """Train a refinement unit.

    With a recording's own labels, training starts from the unit that comes with epitool. The unit learns the poses of
    the labels, mixed with each other and seen by random cameras, with the errors that the detector made in this
    recording. Frames of the validation part that are held out from training choose the kind of hint, and show whether
    the unit improves. With `mocap`, a unit for all people is trained from scratch on motion capture, and labels only
    show how the detector errs.

    Raises:
        UsageError: The options do not fit together.
        InputError: A file is missing or damaged, or the files do not fit together.
        GeometryError: Too few of the labels, or of the poses, are complete, or the labels have the verdict "fail".
    """
    path = _path_of(options)
    return _from_labels(options, path) if options.mocap is None else _from_mocap(options, options.mocap, path)


def _path_of(options: RefineOptions) -> Path:
    return options.out or run_folder(options.name) / "refiner.pt"


def also_writes(options: RefineOptions) -> list[Path]:
    """Return the unit of the run, if no other place is named."""
    return [] if options.out else [_path_of(options)]


def _from_mocap(options: RefineOptions, mocap: Path, path: Path) -> Summary:
    from epitool.nn.detector_errors import errors_of
    from epitool.nn.looks import join_looks
    from epitool.nn.refiner_training import GENERIC, generic_wardrobe, save_refiner, train_generic

    poses = mocap_poses(mocap)
    seen, doubts = [], list[str]()
    for file in options.pairs:
        everyone = read_everyone(file)
        seen.append(select_seen(everyone, file))
        doubts += [f"{file.name}: {reason}" for reason in reasons_for("warn", everyone)]
    looks, truth = join_looks([each.looks for each in seen]), np.concatenate([each.truth for each in seen])
    if len(truth) < MIN_POSES:
        raise GeometryError(
            f"{', '.join(map(str, options.pairs))}: {len(truth)} images show somebody whose pose has all joints, and"
            f" {MIN_POSES} are needed to learn how the detector errs; give more labels"
        )
    say(f"learning from {len(poses)} poses of motion capture; errors as in {len(truth)} images")
    trained_on = f"{len(poses)} poses of {mocap.name}, errors of {len(truth)} images of {len(options.pairs)} recordings"
    unit = replace(GENERIC, steps=options.steps or GENERIC.steps, seed=options.seed)
    refiner = train_generic(generic_wardrobe(poses), errors_of(looks, truth, unit.seed), unit, trained_on)
    save_refiner(path, replace(refiner, doubts=tuple(doubts)))
    text = f"{path}: a refinement unit for everybody, from {trained_on}"
    return Summary(text, {"refiner": str(path), "poses": len(poses), "images": len(truth), "steps": unit.steps})


def _from_labels(options: RefineOptions, path: Path) -> Summary:
    from epitool.nn.refiner import load_refiner
    from epitool.nn.refiner_training import OWN, save_refiner

    pairs = options.pairs[0]
    everyone = read_everyone(pairs)
    seen, labels = select_seen(everyone, pairs), everyone[0]
    parts = labels.parts
    half = len(parts["val"]) // 2
    learned, told = np.concatenate([parts["train"], parts["val"][:half]]), parts["val"][half:]
    for what, frames in (("learn from", learned), ("choose by", told)):
        count = len(np.unique(seen.of_frames(frames).frames))
        if count < (MIN_POSES if frames is learned else 1):
            raise GeometryError(
                f"{pairs}: {count} frames to {what} have all joints; record more, or use the unit that comes with"
                " epitool, which `epitool predict` does by itself"
            )
    unit, shipped = replace(OWN, steps=options.steps or OWN.steps, seed=options.seed), load_refiner()
    hinted = _require_enough(hinted_by(seen, pairs, options.predictions), seen, parts["val"][:half], told)
    by_themselves = _hint_errors(hinted, told)
    candidates = {"the shipped unit": (replace(shipped, doubts=()), next(iter(hinted.values())))}
    for hint, given in _worth_trying(hinted, by_themselves).items():
        # A network overfits the training part, so that its errors there are smaller than on new images.
        erring = given.of_frames(parts["val"][:half] if hint == "network" else learned)
        say(f"learning from {len(np.unique(given.of_frames(learned).frames))} frames, {_WORDS[hint]}")
        refiner = _trained(shipped, everyone, given.of_frames(learned), erring, unit, hint)
        refiner = replace(refiner, doubts=reasons_for("warn", everyone))
        candidates[f"refined, {_WORDS[hint]}"] = refiner, given
    measured = {name: _error(refiner, given.of_frames(told)) for name, (refiner, given) in candidates.items()}
    measured |= by_themselves
    best = min(candidates, key=lambda name: measured[name])
    refiner = replace(candidates[best][0], measured=measured, answers_as=best)
    save_refiner(path, refiner)
    return _summary(path, refiner, best, labels.rig.unit, len(told))


_WORDS = {"detector": "with the detector's own 3D", "network": "with the network's poses", "none": "with no hint"}


def _trained(
    start: Refiner, everyone: Sequence[Labels], learned: Seen, erring: Seen, options: UnitOptions, hint: str
) -> Refiner:  # fmt: skip
    from epitool.nn.detector_errors import errors_of
    from epitool.nn.refiner_training import own_wardrobe, train_own

    labels = everyone[0]
    return train_own(
        start, own_wardrobe(own_poses(everyone, learned)), errors_of(erring.looks, erring.truth, options.seed), options,
        unit=labels.rig.unit, scale_source=labels.rig.scale_source, focal_ratio=focal_ratio(labels), hint=hint,
        recording_id=labels.recording_id,
    )  # fmt: skip


def _error(refiner: Refiner, seen: Seen) -> Measured:
    from epitool.nn.refining import agreed_poses
    from epitool.nn.times import Times

    known = np.ones(len(seen.looks), dtype=bool)  # images whose pose is known from several views
    return _errors(agreed_poses(refiner, [seen.looks], Times.unrelated(len(known)), known).poses, seen.truth)


_DETECTOR, _NETWORK = "the detector's own 3D", "the network"


def _require_enough(
    hinted: dict[str, Seen], seen: Seen, unlearned: NDArray[np.intp], told: NDArray[np.intp]
) -> dict[str, Seen]:  # fmt: skip
    """Drop the network as a hint if too few of its poses can be used to learn its errors, or none to measure it.

    If no hint remains, the images are returned without one.
    """
    if "network" in hinted:
        few = len(hinted["network"].of_frames(unlearned).truth)
        if few < MIN_POSES or not len(hinted["network"].of_frames(told).truth):
            say(
                f"the network is not tried as a hint: {few} of its poses are of the validation part's earlier half and"
                f" tell how it errs, {MIN_POSES} are needed, and some of the later half; predict all images"
            )
            hinted = {hint: given for hint, given in hinted.items() if hint != "network"}
    return hinted or {"none": replace(seen, looks=seen.looks.without_hint())}


def _worth_trying(hinted: dict[str, Seen], by_themselves: Mapping[str, Measured]) -> dict[str, Seen]:
    """Drop the network as a hint if it is worse than the detector by itself.

    Its errors are similar in neighbouring frames, so that a unit that has memorised them would seem better than it is.
    """
    if {_DETECTOR, _NETWORK} <= by_themselves.keys() and by_themselves[_NETWORK] > by_themselves[_DETECTOR]:
        say(
            f"the network is not tried as a hint: its NMPJPE is {by_themselves[_NETWORK][0]:.0f} by itself, that of"
            f" {_DETECTOR} {by_themselves[_DETECTOR][0]:.0f}"
        )
        return {hint: seen for hint, seen in hinted.items() if hint != "network"}
    return hinted


def _hint_errors(hinted: Mapping[str, Seen], told: NDArray[np.intp]) -> dict[str, Measured]:
    """Return the errors of the hints by themselves, in their own axes, whose z points straight at the person."""
    from epitool.nn.looks import network_hint

    names = {"detector": _DETECTOR, "network": _NETWORK}
    shown = {names[hint]: seen.of_frames(told) for hint, seen in hinted.items() if hint in names}
    return {
        name: _errors(seen.looks.hint, network_hint(seen.truth, seen.looks.rays))
        for name, seen in shown.items()
        if len(seen.truth)
    }


def _errors(poses: Array, truth: Array) -> Measured:
    """Return NMPJPE and PMPJPE over the joints of the limbs, for the poses `(N, 16, 3)` in which all are known."""
    from epitool.metrics import nmpjpe, pmpjpe
    from epitool.nn.looks import LIMBS, PELVIS

    whole = np.isfinite(poses[:, LIMBS]).all(axis=(1, 2))
    limbs, true = poses[whole][:, LIMBS], truth[whole][:, LIMBS]
    root = int(np.flatnonzero(LIMBS == PELVIS)[0])
    if not whole.any():
        return np.inf, np.inf
    return float(nmpjpe(limbs, true, root).mean()), float(pmpjpe(limbs, true, root).mean())


def _summary(path: Path, refiner: Refiner, best: str, unit: str, frames: int) -> Summary:
    if not refiner.recording_id:
        warn("the recording's own labels did not lower the error of its validation frames; the shipped unit is kept")
    told = ", ".join(f"{name} {n:.0f} / {p:.0f}" for name, (n, p) in refiner.measured.items())
    text = f"{path}: {best}; NMPJPE / PMPJPE of {frames} validation frames, {unit}, 14 joints: {told}"
    values = {"refiner": str(path), "chosen": best, "hint": refiner.hint, "unit": unit, "frames": frames}
    measured = {  # null for who answered nothing
        name: dict(zip(("nmpjpe", "pmpjpe"), errors if np.isfinite(errors).all() else (None, None)))
        for name, errors in refiner.measured.items()
    }
    return Summary(text, {**values, "measured": measured})
