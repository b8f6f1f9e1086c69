"""`epitool predict`: single images to 3D poses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from epitool.camera import Array
from epitool.console import Summary, progress, say, warn
from epitool.detectors import open_detector, person_found
from epitool.errors import GeometryError, InputError, UsageError
from epitool.images import IMAGE_SUFFIXES, Image, check_name, frame_of_video, image_key, open_view, read_images
from epitool.io.predictions import write_predictions
from epitool.pose import MIN_CONFIDENCE, Predictions, square_boxes
from epitool.stages.models import RUNS, newest_model

if TYPE_CHECKING:
    from epitool.nn.refiner import Refiner

FindBox = Callable[[int, Image], Array]
_NAMED = 5  # images without a person that the summary names


def run(
    *,
    images: Sequence[str],
    model: Path | None = None,
    out: Path = Path("pose.json"),
    box: str | None = None,
    boxes: Path | None = None,
    detector: str | None = None,
    root_depth: float | None = None,
    refiner: Path | None = None,
    overlay: Path | None = None,
    batch_size: int = 16,
    bf16: bool = False,
    device: str = "auto",
) -> Summary:
    """Predicts the pose of one person in each image.

    Args:
        images: Image files, folders of images, videos, or single frames `video.mp4#12`.
        model: `model.pt`, `model.onnx`, or a file of the authors' release; the newest in `runs/` by default.
        out: `pose.json`.
        box: Where the person is in every image: "x,y,w,h" in px, or "image" for all of it.
        boxes: `keypoints.h5` or `labels.h5` with the joints of the same images; their boxes are taken.
        detector: Which 2D detector, or checkpoint, finds the person otherwise; the default one if it is installed.
        root_depth: Distance of the root joint along the optical axis, in the model's unit: it fixes the size of the
            poses instead of the model's own rule.
        refiner: `refiner.pt` to correct the poses with.
        overlay: Folder for the images with the joints drawn in.
        batch_size: Crops at a time.
        bf16: Whether the network computes in bfloat16.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        UsageError: Options that do not fit, or the detector is not installed.
        InputError: There is no model, or an image cannot be read.
        CheckpointError: The model or the refiner cannot be used.
        GeometryError: No image shows a person.
    """
    from epitool.nn.inference import NOTHING_KNOWN, KnownCameras, check_depth, open_engine, predict_where_found

    if root_depth is not None and not 0 < root_depth < np.inf:
        raise UsageError(f"--root-depth {root_depth:g}: expected a distance above 0")
    path = model or newest_model()
    if path is None:
        raise InputError(f"no model in {RUNS}/; run `epitool train` first, or give --model FILE")
    engine, corrections = open_engine(path, device, bf16), _open_refiner(refiner)
    check_depth(path, engine.card)
    names = image_names(images)
    if boxes is None and box is None and detector is None and len(images) == 1 and is_labels(images[0]):
        boxes = Path(images[0])
    find_box, box_source = _box_finder(names, box, boxes, detector, device, engine.card.convention.margin)
    cameras = NOTHING_KNOWN
    if root_depth is not None:
        stated = f"root at {root_depth:g} {engine.card.unit}, as given"
        cameras = KnownCameras(None, np.full(len(names), root_depth), stated)
    predictions = predict_where_found(engine, names, find_box, batch_size, cameras)
    predictions = _with_provenance(predictions, {"model": str(path), "boxes": box_source})
    if not predictions.images:
        raise GeometryError(f"nobody was found in any of the {len(names)} images; give --box x,y,w,h or --box image")
    if corrections is not None:
        predictions = _refined(predictions, corrections, str(refiner))
    write_predictions(out, predictions)
    if overlay is not None:
        _draw(predictions, overlay)
    return _summary(predictions, names, out)


def is_labels(given: str) -> bool:
    """Whether an input is labels or keypoints, which stand for their images."""
    return given.lower().endswith(".h5")


def image_names(inputs: Sequence[str]) -> list[str]:
    """Every image of image files, folders, videos, `video.mp4#frame` and labels, in order and each once.

    Raises:
        InputError: One of them is missing or cannot be decoded.
    """
    names: dict[str, None] = {}
    for given in inputs:
        path = Path(given)
        check_name(path)
        if is_labels(given):
            from epitool.io.keypoints import read_keypoints

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


def _box_finder(
    names: Sequence[str], box: str | None, boxes: Path | None, detector: str | None, device: str, margin: float
) -> tuple[FindBox, str]:
    """How to find the person in an image, and what to call that."""
    if sum(way is not None for way in (box, boxes, detector)) > 1:
        raise UsageError("--box, --boxes and --detector exclude each other")
    if boxes is not None:
        known = _boxes_of(names, boxes, margin)
        return (lambda i, image: known[i]), f"joints of {boxes}"
    if box == "image":
        return _whole_image, "whole image"
    if box is not None:
        fixed = parse_box(box)
        return (lambda i, image: fixed), f"given: {box}"
    return _detected(detector, device, margin)


def _detected(detector: str | None, device: str, margin: float) -> tuple[FindBox, str]:
    from epitool.stages.detect2d import open_any_detector  # which imports much that other ways do not need

    try:
        found = open_any_detector(detector, device) if detector else open_detector(None, device)
    except UsageError as error:
        if detector:
            raise
        warn(f"{error}; the network looks at whole images instead, which fits only where the person fills them")
        return _whole_image, "whole image, for want of a detector"
    say(f"finding people with {found.name}")

    def box_around(i: int, image: Image) -> Array:
        xy, confidence = person_found(found, image)
        return square_boxes(np.where(confidence[:, None] >= MIN_CONFIDENCE, xy, np.nan), margin)

    return box_around, f"detector {found.name}"


def _boxes_of(names: Sequence[str], file: Path, margin: float) -> Array:
    """Boxes `(N, 4)` of images by the joints that a file has for them; NaN where nobody was found."""
    from epitool.io.keypoints import read_keypoints  # and with it HDF5, which other ways do not need

    keypoints = read_keypoints(file)
    images, boxes = keypoints.images.ravel().tolist(), keypoints.boxes(margin=margin).reshape(-1, 4)
    known = {image_key(image): box for image, box in zip(images, boxes, strict=True) if image}
    strange = [name for name in names if image_key(name) not in known]
    if strange:
        raise InputError(f"{file}: lacks {strange[0]}, {len(strange)} images in all; leave out --boxes")
    return np.array([known[image_key(name)] for name in names])


def parse_box(text: str) -> Array:
    """The square around a box "x,y,w,h" in px.

    Raises:
        UsageError: It is no such box.

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


def _whole_image(i: int, image: Image) -> Array:
    from epitool.nn.crops import squared

    return squared(np.array([0.0, 0.0, image.shape[1], image.shape[0]]))


def _with_provenance(predictions: Predictions, more: dict[str, str]) -> Predictions:
    return replace(predictions, provenance=predictions.provenance | more)


def _open_refiner(path: Path | None) -> Refiner | None:
    if path is None:
        return None
    from epitool.nn.refiner import load_refiner

    return load_refiner(path)


def _refined(predictions: Predictions, refiner: Refiner, name: str) -> Predictions:
    from epitool.nn.refiner import refine

    before, after = refiner.val_error
    if after >= before:
        warn(f"{name} did not lower the error of its validation frames ({before:.1f} to {after:.1f} {refiner.unit})")
    return _with_provenance(refine(predictions, refiner), {"refiner": name})


def _draw(predictions: Predictions, folder: Path) -> None:
    """Writes every image with its joints, numbered in the order of the predictions."""
    from epitool.viz.overlay import draw_pose, save_image

    with progress("drawing", len(predictions.images)) as advance:
        for i, image in read_images(predictions.images):
            drawn = draw_pose(image, predictions.joints_2d[i], predictions.skeleton, predictions.confidence[i])
            stem = Path(predictions.images[i]).name.replace("#", "-").replace(".", "-")
            save_image(folder / f"{i:05d}-{stem}.png", drawn)
            advance(1)


def _summary(predictions: Predictions, names: Sequence[str], out: Path) -> Summary:
    seen = set(predictions.images)
    missing = [name for name in names if name not in seen]
    text = f"{out}: {len(seen)} pose{'s' * (len(seen) != 1)}, in {predictions.unit} relative to the root"
    if missing:
        named = ", ".join(missing[:_NAMED]) + (", ..." if len(missing) > _NAMED else "")
        text += f"; nobody found in {len(missing)} images: {named}"
    values = {"out": str(out), "poses": len(seen), "without_person": missing, "unit": predictions.unit}
    return Summary(text, {**values, **predictions.provenance})
