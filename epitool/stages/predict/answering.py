"""What predicts poses, a network, a refinement unit, or a network refined by a unit; and its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from epitool.console import progress, warn
from epitool.errors import InputError, UsageError
from epitool.geometry.body.scale import parse_scale
from epitool.images import Image, read_images
from epitool.options import PredictOptions
from epitool.pose import Predictions
from epitool.stages.shared.doubts import select_first
from epitool.stages.shared.looking import Looking
from epitool.stages.shared.models import RUNS, newest
from epitool.stages.shared.reported import is_reported

if TYPE_CHECKING:
    from epitool.nn.inference import Engine, KnownCameras
    from epitool.nn.refiner import Refiner


@dataclass(frozen=True, eq=False)
class Answerer:
    """The network, the refinement unit, or both, that predict poses; their files, and their name in words."""

    engine: Engine | None
    model: Path | None
    refiner: Refiner | None
    unit: Path | None
    words: str


def who_answers(options: PredictOptions) -> Answerer:
    """Open the network and unit: the named files, the newest ones in `runs/`, or the unit that comes with epitool.

    Raises:
        InputError: A file is missing, or only a network is wanted and there is none.
        CheckpointError: A file cannot be used.
    """
    unit, path, model = None, None, options.model
    if not options.no_refiner:
        from epitool.nn.refiner import load_refiner

        path = options.refiner or newest("refiner.pt")
        unit = load_refiner(path) if path else load_refiner()
        if path:  # what the shipped unit learned from, docs/models.md tells
            _repeat_doubts(path, unit.doubts)
    if unit is None or unit.hint == "network":
        model = model or newest("model.pt")
        if model is None and unit is None:
            raise InputError(f"no model in {RUNS}/; run `epitool train` first, give --model FILE, or no --no-refiner")
    engine = _open_engine(model, options.device, options.bf16) if model else None
    if unit is None:
        return Answerer(engine, model, None, None, f"network {model}")
    words = str(path) if path else "the shipped unit"
    if engine:
        words = f"network {model}, refined by {words}"
    elif unused := newest("model.pt"):
        why = "the detector's own 3D was the better hint" if path else "`epitool refine` tells whether it helps"
        words += f", without {unused} ({why})"
    return Answerer(engine, model, unit, path, words)


def _open_engine(path: Path, device: str, bf16: bool) -> Engine:
    from epitool.nn.inference import check_depth, open_engine

    engine = open_engine(path, device, bf16)
    check_depth(path, engine.card)
    _repeat_doubts(path, engine.card.doubts)
    if engine.card.val_error >= engine.card.mean_pose_error:
        warn(f"{path}: on its own recording it is no better than always answering the mean pose")
    return engine


def _repeat_doubts(path: Path, doubts: Sequence[str]) -> None:
    if doubts and not is_reported(path):
        warn(f"{path}: was trained on labels that were found doubtful: {select_first(doubts, 'the file has them')}")


def held_out_error_text(who: Answerer) -> str:
    """Return the error on frames held out from training, in words; "" if it is unknown."""
    if who.refiner is not None:
        error, _ = who.refiner.measured.get(who.refiner.answers_as, (np.nan, np.nan))
        known = np.isfinite(error)
        return f"NMPJPE on held-out frames of its recording {error:.0f} {who.refiner.unit}" if known else ""
    card = who.engine.card if who.engine else None
    if card and np.isfinite(card.val_error):
        mean = card.mean_pose_error
        beside = f" (always answering the mean pose: {mean:.0f})" if np.isfinite(mean) else ""
        return f"NMPJPE on held-out frames of its recording {card.val_error:.0f} {card.unit}{beside}"
    return ""


def millimetres(height: str | None) -> float | None:
    """Return the height of `--height` in mm, or None if it is not given.

    Raises:
        UsageError: It is no length.
    """
    try:
        return None if height is None else parse_scale(f"height={height}").length_mm
    except UsageError:
        raise UsageError(f"--height {height}: expected a person's height, as 1.78m, 178cm or 1780mm") from None


def answer(
    who: Answerer, names: Sequence[str], looking: Looking, options: PredictOptions, height_mm: float | None
) -> Predictions:
    """Predict poses in named images, which are read from their files; `looking` has not seen any of them yet.

    Raises:
        InputError: An image cannot be read.
    """
    by_network = None
    if who.engine is not None:
        from epitool.nn.inference import predict_where_found

        by_network = predict_where_found(
            who.engine, names, looking, options.batch_size, _cameras(who.engine, len(names), options)
        )
    elif not looking.image_size.all():  # joints from a file may come with all image sizes
        with progress("looking", len(names)) as advance:
            for i, image in read_images(names):
                looking(i, image)
                advance(1)
    return _answered(who, names, looking, by_network, options, height_mm)


def answer_image(
    who: Answerer, image: Image, looking: Looking, options: PredictOptions, height_mm: float | None
) -> Predictions:
    """Predict the pose in one RGB image; `looking` is for one image and has not seen it yet."""
    names, by_network = ["image"], None
    if who.engine is not None:
        from epitool.nn.inference import predict_image

        by_network = predict_image(who.engine, names[0], image, looking, _cameras(who.engine, 1, options))
    else:
        looking(0, image)
    return _answered(who, names, looking, by_network, options, height_mm)


def _cameras(engine: Engine, images: int, options: PredictOptions) -> KnownCameras:
    from epitool.nn.inference import NOTHING_KNOWN, KnownCameras

    if options.root_depth is None:
        return NOTHING_KNOWN
    stated = f"root at {options.root_depth:g} {engine.card.unit}, as given"
    return KnownCameras(None, np.full(images, options.root_depth), stated)


def _answered(
    who: Answerer, names: Sequence[str], looking: Looking, by_network: Predictions | None, options: PredictOptions,
    height_mm: float | None,
) -> Predictions:  # fmt: skip
    """Return the answers for images that `looking`, and the network if there is one, have seen."""
    from epitool.stages.shared.seen_in_images import without_unseen

    if who.refiner is not None:
        from epitool.stages.shared.lifting import refined_predictions  # imports PyTorch

        found = refined_predictions(
            who.refiner, names, looking, by_network, root_depth=options.root_depth, height_mm=height_mm,
            smooth=options.smooth,
        )  # fmt: skip
        more = {"refiner": str(who.unit) if who.unit else "shipped"}
    else:
        assert by_network is not None
        found, more = without_unseen(by_network, names, looking, options.smooth), {}
    if who.model is not None:
        more["model"] = str(who.model)
        if who.engine and not found.provenance.get("recording_id"):
            more["recording_id"] = who.engine.card.recording_id
    more |= {"answered_by": who.words, "boxes": looking.source}
    return replace(found, provenance=found.provenance | more)
