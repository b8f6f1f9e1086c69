"""Pose estimation from single images (section 3.2), with any engine that computes the network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from epitool.camera import Array, centred_intrinsics
from epitool.console import progress
from epitool.errors import CheckpointError, UsageError
from epitool.images import Image, read_images
from epitool.nn.card import ModelCard
from epitool.nn.crops import crop_image, volume_to_pose
from epitool.parallel import drawn_ahead
from epitool.pose import Predictions


class Engine(Protocol):
    """Network that answers for crops."""

    card: ModelCard

    def __call__(self, crops: Image) -> tuple[Array, Array]:
        """Return volume coordinates `(N, J, 3)` and sharpness `(N, J)` for RGB crops `(N, S, S, 3)`."""
        ...


class KnownCameras(NamedTuple):
    """Prior knowledge of the cameras of N images.

    Attributes:
        K: Intrinsics `(N, 3, 3)`; None to assume them.
        root_depth: Distance of the root along the optical axis `(N,)`, in the network's unit; None to derive it by the
            network's scale rule.
        stated: Source of this knowledge.
        lenses: OpenCV's distortion coefficients `(N, D)`; None where they are not known.
    """

    K: Array | None
    root_depth: Array | None
    stated: str
    lenses: Array | None = None


NOTHING_KNOWN = KnownCameras(None, None, "")


class _Crop(NamedTuple):
    """Crop of one person, to be given to the network."""

    image: int
    box: Array
    K: Array
    pixels: Image


class _Seen(NamedTuple):
    """Results of the network for a batch of crops."""

    images: list[int]
    boxes: Array
    joints_3d: Array
    joints_2d: Array
    confidence: Array


def open_engine(path: Path, device: str, bf16: bool = False) -> Engine:
    """Load a network: `model.onnx` with ONNX Runtime, any other file with PyTorch.

    Args:
        path: The file.
        device: "auto", "cpu", "cuda" or "cuda:N".
        bf16: Whether to compute in bfloat16, which moves joints slightly and is faster on processors that support it
            natively.

    Raises:
        InputError: There is no such file.
        CheckpointError: It cannot be used.
        UsageError: There is no such device, ONNX Runtime is not installed, or a graph was requested in bfloat16 or on a
            GPU.
    """
    if path.suffix == ".onnx":
        if bf16:
            raise UsageError(f"{path}: a graph computes in the precision that it was exported in, not in bfloat16")
        if device not in ("auto", "cpu"):
            raise UsageError(f"{path}: graphs are computed on the CPU, not on {device}; a model.pt can be")
        from epitool.nn.onnx_engine import OnnxEngine

        return OnnxEngine(path)
    from epitool.nn.checkpoint import load_model
    from epitool.nn.device import pick_device
    from epitool.nn.torch_engine import TorchEngine

    return TorchEngine(load_model(path), pick_device(device), bf16)


def check_depth(path: Path, card: ModelCard) -> None:
    """Refuse networks that have learned only x and y.

    Raises:
        CheckpointError: The network knows no depth.
    """
    if card.options.supervision == "2d":
        raise CheckpointError(
            f"{path}: learned x and y alone and knows no depth;"
            " it serves `epitool detect2d` as a detector, or a training to start from"
        )


def predict_images(
    engine: Engine, names: Sequence[str], boxes: Array, batch_size: int = 16, cameras: KnownCameras = NOTHING_KNOWN
) -> Predictions:
    """Predict the pose of one person in each image.

    Args:
        engine: The network.
        names: Paths, or `video.mp4#frame`.
        boxes: Square boxes [x, y, side, side] `(N, 4)` px; images whose box is NaN are left out.
        batch_size: Number of crops per batch.
        cameras: Prior knowledge of the cameras.

    Raises:
        InputError: An image is missing or cannot be decoded.
    """
    return predict_where_found(engine, names, lambda i, image: boxes[i], batch_size, cameras)


def predict_where_found(
    engine: Engine,
    names: Sequence[str],
    find_box: Callable[[int, Image], Array],
    batch_size: int = 16,
    cameras: KnownCameras = NOTHING_KNOWN,
) -> Predictions:
    """Predict poses in the images where `find_box(index, image)` finds a person.

    A separate thread reads images, finds people and cuts crops while the network processes the previous batch; three
    batches are in memory at a time. The camera of a single image is unknown: unless it is given, focal length and
    principal point are assumed as stated in `provenance`.

    Raises:
        InputError: An image is missing or cannot be decoded.
    """
    card = engine.card
    with progress("predicting", len(names)) as advance:
        batches = drawn_ahead(_batches(card, read_images(names), find_box, batch_size, cameras, advance))
        seen = [_look(engine, batch, cameras) for batch in batches if batch]
    return _join_in_order(seen, names, card, cameras)


def predict_image(
    engine: Engine, name: str, image: Image, find_box: Callable[[int, Image], Array], cameras: KnownCameras
) -> Predictions:
    """Predict the pose in one RGB image, of any name, if `find_box(0, image)` finds a person in it."""
    batches = _batches(engine.card, [(0, image)], find_box, 1, cameras, lambda done: None)
    return _join_in_order([_look(engine, batch, cameras) for batch in batches if batch], [name], engine.card, cameras)


def _batches(
    card: ModelCard,
    images: Iterable[tuple[int, Image]],
    find_box: Callable[[int, Image], Array],
    size: int,
    cameras: KnownCameras,
    advance: Callable[[int], None],
) -> Iterator[list[_Crop]]:
    batch = list[_Crop]()
    for i, image in images:
        box = np.asarray(find_box(i, image), dtype=float)
        if np.isfinite(box).all():
            assumed = centred_intrinsics((image.shape[1], image.shape[0]), card.focal_ratio * max(image.shape[:2]))
            K = assumed if cameras.K is None else cameras.K[i]
            batch.append(_Crop(i, box, K, crop_image(image, box, card.options.image_size)))
        if len(batch) == size:
            yield batch
            batch = []
        advance(1)
    yield batch


def _look(engine: Engine, batch: list[_Crop], cameras: KnownCameras) -> _Seen:
    card, images = engine.card, [crop.image for crop in batch]
    volume, sharpness = engine(np.stack([crop.pixels for crop in batch]))
    confidence = card.confidence(sharpness)
    boxes, K = np.stack([crop.box for crop in batch]), np.stack([crop.K for crop in batch])
    depth = None if cameras.root_depth is None else cameras.root_depth[images]
    lenses = None if cameras.lenses is None else cameras.lenses[images]
    poses, xy = volume_to_pose(volume, boxes, K, card.bone_lengths, card.skeleton, card.convention, depth, lenses)
    poses[:, ~card.trained], xy[:, ~card.trained], confidence[:, ~card.trained] = np.nan, np.nan, 0
    return _Seen(images, boxes, poses, xy, confidence)


def _join_in_order(seen: list[_Seen], names: Sequence[str], card: ModelCard, cameras: KnownCameras) -> Predictions:
    """Join batches in the order of the images; `read_images` yields the frames of videos last."""
    joints = len(card.skeleton)
    nothing = _Seen([], np.empty((0, 4)), np.empty((0, joints, 3)), np.empty((0, joints, 2)), np.empty((0, joints)))
    images = np.concatenate([np.array(part.images, dtype=int) for part in (nothing, *seen)])
    order = np.argsort(images, kind="stable")
    boxes, joints_3d, joints_2d, confidence = (
        np.concatenate([part[field] for part in (nothing, *seen)])[order] for field in range(1, 5)
    )
    return Predictions(
        images=tuple(names[i] for i in images[order]),
        boxes=boxes,
        joints_3d=joints_3d,
        joints_2d=joints_2d,
        confidence=confidence,
        skeleton=card.skeleton,
        unit=card.unit,
        provenance=_provenance(card, cameras),
    )


def _provenance(card: ModelCard, cameras: KnownCameras) -> dict[str, str]:
    assumed = f"assumed: focal length {card.focal_ratio:.4g} x the longer side, principal point in the middle"
    rule, source = card.scale_rule, card.scale_source
    if cameras.root_depth is not None:
        rule = source = cameras.stated
    return {
        "recording_id": card.recording_id,
        "depth": f"relative to the root; what fixes the size: {rule}",
        "scale_source": source,
        "camera": assumed if cameras.K is None else cameras.stated,
        "confidence": "sharpness of the joint's heatmap; 0.8 where it is that of the validation frames",
    }
