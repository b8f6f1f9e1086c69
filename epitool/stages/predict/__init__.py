"""`epitool predict`: predicts 3D poses from single images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import dropwhile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Array
from epitool.console import Summary, counted, progress, say, warn
from epitool.detectors import DETECTORS, default_detector, known_detector, open_detector
from epitool.errors import GeometryError, InputError, UsageError
from epitool.images import IMAGE_SUFFIXES, UndecodableImageError, check_name, read_image, read_images
from epitool.io.predictions import write_predictions
from epitool.names import frame_of_video
from epitool.nn.times import Times
from epitool.options import PredictOptions
from epitool.pose import BOX_MARGIN, Predictions
from epitool.stages.predict.answering import Answerer, answer, held_out_error_text, millimetres, who_answers
from epitool.stages.predict.live import run_live
from epitool.stages.shared.following import Following
from epitool.stages.shared.footage import open_footage
from epitool.stages.shared.looking import DetectorLooks, FileLooks, FixedBox, Looking
from epitool.stages.shared.seen_in_images import times_of

_SURE_OF_FACING = 0.5  # agreement of the looks; of rendered people who cover each other, it leaves 3% wrong of 5%
_FARTHEST_PX = 1e6  # largest number of a box
_NAMED = 5  # number of images that the summary names


def run(options: PredictOptions) -> Summary:
    """Predict the pose of one person in each image, or in the newest frame of a stream until it ends.

    A detector finds the joints, and a refinement unit lifts them to 3D: the newest in `runs/`, or the one that comes
    with epitool. The unit takes a 3D pose as a hint: that of the volumetric network, if one is named or the unit was
    trained with one, and the detector's own otherwise.

    Raises:
        UsageError: The options do not fit together, or the detector is not installed.
        InputError: There is no model, or an image cannot be read.
        CheckpointError: The model or the refiner cannot be used.
        GeometryError: No image shows a person.
    """
    height_mm = millimetres(options.height)
    if options.stream is not None:
        return run_live(options.stream, options, height_mm, _looks)
    who = who_answers(options)
    _warn_of_device(options, who)
    unlooked = _joints_of(options) is not None and who.engine is None and options.overlay is None
    names = image_names(options.images, joints_do=unlooked)
    looking = _looks(options, who)(names, None)
    try:
        predictions = answer(who, names, looking, options, height_mm)
    except UndecodableImageError as error:
        raise _of_all(names, error) from None
    if not predictions.images:
        raise GeometryError(
            f"nobody, or too little of anybody, was found in {counted(len(names), 'image')};"
            " --box x,y,w,h says where to look"
        )
    assert options.out is not None  # as all options make sure
    write_predictions(options.out, predictions)
    if options.overlay is not None:
        _draw(predictions, options.overlay)
    return _summary(predictions, names, looking, who, options.out)


def _of_all(names: Sequence[str], error: UndecodableImageError) -> InputError:
    """Return the error of the first image that cannot be decoded, or one that names all if there are several."""
    unread = dropwhile(lambda name: Path(name) != error.path, names)
    bad = [name for name in unread if frame_of_video(name) is None and _is_undecodable(Path(name))]
    return InputError(f"{_listed(bad)} cannot be decoded; leave them out") if len(bad) > 1 else error


def _is_undecodable(image: Path) -> bool:
    try:
        read_image(image)
    except UndecodableImageError:
        return True
    except InputError:  # it is missing
        return False
    return False


def is_labels(given: str) -> bool:
    """Return whether an input is a file of labels or keypoints, which stands for its images."""
    return given.lower().endswith(".h5")


def image_names(inputs: Sequence[str], joints_do: bool = False) -> list[str]:
    """Return every image of image files, folders, videos, `video.mp4#frame` and labels, in order and each once.

    Args:
        inputs: The inputs.
        joints_do: Whether the joints of keypoints or labels that name no images do; the names are then `view:cam1#7`.

    Raises:
        InputError: An input is missing, cannot be decoded, or names no images.
    """
    names: dict[str, None] = {}
    for given in inputs:
        path = Path(given)
        check_name(path)
        if is_labels(given):
            from epitool.io.keypoints_h5 import read_keypoints

            keypoints = read_keypoints(path)
            shown = keypoints.image_names if joints_do else keypoints.images
            named = dict.fromkeys(name for name in shown.ravel().tolist() if name)
            if not named:
                raise InputError(f"{path}: names no images to look at; `epitool convert` does with --views")
            names |= named
            continue
        single, place = path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir(), frame_of_video(given)
        if single or place:
            if not Path(place[0] if place else given).exists():
                raise InputError(f"image {given}: no such file")
            names[given] = None
        else:
            view = open_footage(path)
            names |= {view.image_name(frame): None for frame in view.frames}
    return list(names)


def _joints_of(options: PredictOptions) -> Path | None:
    """Return the file of joints that stand for what a detector would find; None if a detector is to look."""
    only = options.images[0] if len(options.images) == 1 else ""
    if options.boxes is None and options.box is None and options.detector is None and is_labels(only):
        return Path(only)
    return options.boxes


def _warn_of_device(options: PredictOptions, who: Answerer) -> None:
    """Warn if nothing that answers can use the device: units and some detectors compute on the CPU only."""
    chosen = DETECTORS.get(known_detector(options.detector) or default_detector() or "")
    alone = _joints_of(options) is not None or (chosen is not None and chosen.cpu_only)
    if options.device not in ("auto", "cpu") and who.engine is None and alone:
        warn(f"--device {options.device}: nothing that answers here uses it; --model or --detector rtmpose can")


def _looks(options: PredictOptions, who: Answerer) -> Callable[[Sequence[str], float | None], Looking]:
    """Choose how to find the person, and the joints, in named images; what that needs is opened once.

    Returns:
        A function of the images' names and, for the newest frame of a stream, of the seconds since that began.
    """
    box, boxes, detector, device = options.box, _joints_of(options), options.detector, options.device
    margin = who.engine.card.convention.margin if who.engine else BOX_MARGIN
    if boxes is not None:
        return lambda names, _: FileLooks(names, boxes, margin)
    fixed = parse_box(box) if box is not None and box != "image" else None
    if who.refiner is None and box is not None and detector is None:  # the network alone needs no joints
        return lambda names, _: FixedBox(len(names), fixed, "whole image" if fixed is None else f"given: {box}")
    try:
        pair = open_detector(detector, device), open_detector(detector, device)
    except UsageError as error:
        if detector or who.engine is None:
            raise
        warn(f"{error}; the network looks at whole images instead, which fits only where the person fills them")
        source = "whole image, for want of a detector" if box is None else f"given: {box}"
        return lambda names, _: FixedBox(len(names), fixed, source)
    say(f"finding people with {pair[0].name}")
    following = Following(pair[0].skeleton.flip_order)
    return lambda names, now: DetectorLooks(
        pair, times_of(names) if now is None else Times.of_one(now), fixed, margin, following
    )


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
    if len(values) != 4 or not (np.abs(values) < _FARTHEST_PX).all() or (values[2:] <= 0).any():
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
    cut = [name for name, whole in zip(predictions.images, _find_whole(predictions, who)) if not whole]
    unscaled = "in the size of a body of stature 1700 (--height gives mm)" if who.refiner else "in the labels' unit"
    size = "in mm" if predictions.unit == "mm" else unscaled
    text = f"{out}: {counted(len(seen), 'pose')} by {who.words}, {size}, relative to the root"
    if known := held_out_error_text(who):
        text += f"; {known}"
    if missing:
        text += f"; nobody, or too little of anybody, in {_listed(missing)}"
    if cut:
        warn(f"parts of the body are outside {_listed(cut)}, and are left out; size and turn of the rest are less sure")
    if looking.crowded:
        films = any(frame_of_video(names[i]) for i in looking.crowded)
        followed = ", and followed through a video" if films else ""
        warn(
            f"several people in {_listed([names[i] for i in looking.crowded])}; the one seen best is answered for"
            + followed
        )
    unsure = [name for name, sure in zip(predictions.images, predictions.facing.tolist()) if sure < _SURE_OF_FACING]
    if unsure:
        warn(
            f"which way the person faces is unsure in {_listed(unsure)} ('facing' below {_SURE_OF_FACING:g} in {out}):"
            " up to half of such poses are turned the wrong way"
        )
    values = {
        "out": str(out), "poses": len(seen), "without_person": missing, "cut_off": cut, "facing_unsure": unsure,
        "unit": predictions.unit,
    }  # fmt: skip
    return Summary(text, {**values, **predictions.provenance})


def _find_whole(predictions: Predictions, who: Answerer) -> NDArray[np.bool_]:
    """Return which poses `(N,)` have all joints that can be predicted."""
    known = np.isfinite(predictions.joints_3d[..., 0])
    return np.asarray((known | ~who.engine.card.trained if who.engine and not who.refiner else known).all(axis=1))


def _listed(names: Sequence[str]) -> str:
    """Return the number of images and the names of the first ones, as text."""
    named = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    return f"{counted(len(names), 'image')}: {named}"
