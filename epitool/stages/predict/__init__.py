"""`epitool predict`: predicts 3D poses from single images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Array
from epitool.console import Summary, progress, say, warn
from epitool.detectors import open_detector
from epitool.errors import GeometryError, InputError, UsageError
from epitool.geometry.body.scale import parse_scale
from epitool.images import IMAGE_SUFFIXES, check_name, frame_of_video, open_view, read_images
from epitool.io.predictions import write_predictions
from epitool.options import PredictOptions
from epitool.pose import BOX_MARGIN, Predictions
from epitool.stages.predict.answering import Answerer, told, who_answers
from epitool.stages.shared.looking import DetectorLooks, FileLooks, FixedBox, Looking

if TYPE_CHECKING:
    from epitool.nn.inference import Engine

_NAMED = 5  # number of images that the summary names


def run(options: PredictOptions) -> Summary:
    """Predict the pose of one person in each image.

    A detector finds the joints, and a refinement unit lifts them to 3D: the newest in `runs/`, or the one that comes
    with epitool. The unit takes a 3D pose as a hint: that of the volumetric network, if one is named or the unit was
    trained with one, and the detector's own otherwise.

    Raises:
        UsageError: The options do not fit together, or the detector is not installed.
        InputError: There is no model, or an image cannot be read.
        CheckpointError: The model or the refiner cannot be used.
        GeometryError: No image shows a person.
    """
    height_mm = _millimetres(options.height)
    who = who_answers(options)
    names = image_names(options.images)
    looking = _looking(names, options, who)
    by_network = _network_poses(who.engine, names, looking, options)
    predictions = _answer(who, names, looking, by_network, options, height_mm)
    if not predictions.images:
        raise GeometryError(
            f"nobody, or too little of anybody, was found in any of the {len(names)} images;"
            " --box x,y,w,h says where to look"
        )
    write_predictions(options.out, predictions)
    if options.overlay is not None:
        _draw(predictions, options.overlay)
    return _summary(predictions, names, looking, who, options.out)


def _millimetres(height: str | None) -> float | None:
    try:
        return None if height is None else parse_scale(f"height={height}").length_mm
    except UsageError:
        raise UsageError(f"--height {height}: expected a length such as 1.78m, 178cm or 1780mm") from None


def is_labels(given: str) -> bool:
    """Return whether an input is a file of labels or keypoints, which stands for its images."""
    return given.lower().endswith(".h5")


def image_names(inputs: Sequence[str]) -> list[str]:
    """Return every image of image files, folders, videos, `video.mp4#frame` and labels, in order and each once.

    Raises:
        InputError: An input is missing or cannot be decoded.
    """
    names: dict[str, None] = {}
    for given in inputs:
        path = Path(given)
        check_name(path)
        if is_labels(given):
            from epitool.io.keypoints_h5 import read_keypoints

            names |= dict.fromkeys(name for name in read_keypoints(path).images.ravel().tolist() if name)
            continue
        single, place = path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir(), frame_of_video(given)
        if single or place:
            if not Path(place[0] if place else given).exists():
                raise InputError(f"image {given}: no such file")
            names[given] = None
        else:
            view = open_view(path)
            names |= {view.image_name(frame): None for frame in view.frames}
    return list(names)


def _looking(names: Sequence[str], options: PredictOptions, who: Answerer) -> Looking:
    """Choose how to find the person, and the joints, in an image."""
    box, boxes, detector, device = options.box, options.boxes, options.detector, options.device
    if boxes is None and box is None and detector is None and len(options.images) == 1 and is_labels(options.images[0]):
        boxes = Path(options.images[0])
    margin = who.engine.card.convention.margin if who.engine else BOX_MARGIN
    if boxes is not None:
        return FileLooks(names, boxes, margin)
    fixed = parse_box(box) if box is not None and box != "image" else None
    if who.refiner is None and box is not None and detector is None:  # the network alone needs no joints
        return FixedBox(len(names), fixed, "whole image" if fixed is None else f"given: {box}")
    try:
        pair = tuple(open_detector(detector, device) for _ in range(2))
    except UsageError as error:
        if detector or who.engine is None:
            raise
        warn(f"{error}; the network looks at whole images instead, which fits only where the person fills them")
        return FixedBox(len(names), fixed, "whole image, for want of a detector" if box is None else f"given: {box}")
    say(f"finding people with {pair[0].name}")
    return DetectorLooks((pair[0], pair[1]), len(names), fixed, margin)


def _network_poses(
    engine: Engine | None, names: Sequence[str], looking: Looking, options: PredictOptions
) -> Predictions | None:
    """Return the network's predictions, or None without a network; in both cases `looking` has seen all images."""
    if engine is None:
        if not looking.image_size.all():  # joints from a file may come with all image sizes
            with progress("looking", len(names)) as advance:
                for i, image in read_images(names):
                    looking(i, image)
                    advance(1)
        return None
    from epitool.nn.inference import NOTHING_KNOWN, KnownCameras, predict_where_found

    cameras = NOTHING_KNOWN
    if options.root_depth is not None:
        stated = f"root at {options.root_depth:g} {engine.card.unit}, as given"
        cameras = KnownCameras(None, np.full(len(names), options.root_depth), stated)
    return predict_where_found(engine, names, looking, options.batch_size, cameras)


def _answer(
    who: Answerer, names: Sequence[str], looking: Looking, by_network: Predictions | None, options: PredictOptions,
    height_mm: float | None,
) -> Predictions:  # fmt: skip
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


def parse_box(text: str) -> Array:
    """Return the square around a box "x,y,w,h" in px.

    Raises:
        UsageError: The text is not of this form, or the width or height is not positive.

    >>> parse_box("10,20,30,50").tolist()
    [0.0, 20.0, 50.0, 50.0]
    """
    from epitool.nn.crops import squared

    try:
        values = np.array([float(value) for value in text.split(",")])
    except ValueError:
        values = np.empty(0)
    if len(values) != 4 or not np.isfinite(values).all() or (values[2:] <= 0).any():
        raise UsageError(f"--box '{text}': expected x,y,w,h in pixels with positive w and h, or 'image'")
    return squared(values)


def _draw(predictions: Predictions, folder: Path) -> None:
    """Write every image with its joints, numbered in the order of the predictions."""
    from epitool.viz.overlay import draw_pose, save_image

    with progress("drawing", len(predictions.images)) as advance:
        for i, image in read_images(predictions.images):
            drawn = draw_pose(image, predictions.joints_2d[i], predictions.skeleton, predictions.confidence[i])
            stem = Path(predictions.images[i]).name.replace("#", "-").replace(".", "-")
            save_image(folder / f"{i:05d}-{stem}.png", drawn)
            advance(1)


def _summary(
    predictions: Predictions, names: Sequence[str], looking: Looking, who: Answerer, out: Path
) -> Summary:  # fmt: skip
    seen = set(predictions.images)
    missing = [name for name in names if name not in seen]
    cut = [name for name, whole in zip(predictions.images, _whole(predictions, who)) if not whole]
    text = f"{out}: {len(seen)} pose{'s' * (len(seen) != 1)} by {who.words}, in {predictions.unit} relative to the root"
    if known := told(who):
        text += f"; {known}"
    if missing:
        text += f"; nobody, or too little of anybody, in {_listed(missing)}"
    if cut:
        warn(f"parts of the body are outside {_listed(cut)}, and are left out; size and turn of the rest are less sure")
    if looking.crowded:
        warn(f"several people in {_listed([names[i] for i in looking.crowded])}; the one seen best is answered for")
    values = {"out": str(out), "poses": len(seen), "without_person": missing, "cut_off": cut, "unit": predictions.unit}
    return Summary(text, {**values, **predictions.provenance})


def _whole(predictions: Predictions, who: Answerer) -> NDArray[np.bool_]:
    """Return which poses `(N,)` have all joints that can be predicted."""
    known = np.isfinite(predictions.joints_3d[..., 0])
    return np.asarray((known | ~who.engine.card.trained if who.engine and not who.refiner else known).all(axis=1))


def _listed(names: Sequence[str]) -> str:
    """Return the number of images and the names of the first ones, as text."""
    named = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    return f"{len(names)} image{'s' * (len(names) != 1)}: {named}"
