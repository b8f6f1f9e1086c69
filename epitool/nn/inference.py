"""From single images to poses (section 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from epitool.camera import Array
from epitool.console import progress
from epitool.images import Image, read_images
from epitool.nn.card import ModelCard
from epitool.nn.checkpoint import Model
from epitool.nn.crops import assumed_intrinsics, crop_image, volume_to_pose
from epitool.nn.network import PoseNetwork, as_input, soft_argmax
from epitool.pose import Predictions

DEPTH_RULE = "relative to the root; bone lengths of the training labels fix the size"


class _Crop(NamedTuple):
    """One person about to be looked at."""

    image: int
    box: Array
    K: Array
    pixels: Image


class _Seen(NamedTuple):
    """What the network saw in a batch of crops."""

    images: list[int]
    boxes: Array
    joints_3d: Array
    joints_2d: Array
    confidence: Array


@torch.inference_mode()
def infer(network: PoseNetwork, crops: Image) -> tuple[Array, Array]:
    """Volume coordinates `(N, J, 3)` and sharpness `(N, J)` for RGB crops `(N, S, S, 3)`."""
    inputs = as_input(torch.from_numpy(crops), next(network.parameters()).device)
    xyz, sharpness = soft_argmax(network(inputs))
    return xyz.cpu().double().numpy(), sharpness.cpu().double().numpy()


def predict_images(
    model: Model, names: Sequence[str], boxes: Array, device: torch.device, batch_size: int = 16
) -> Predictions:
    """Poses of one person in each image.

    Args:
        model: The trained network.
        names: Paths, or `video.mp4#frame`.
        boxes: Square boxes [x, y, side, side] `(N, 4)` px; images whose box is NaN are left out.
        device: Where to compute.
        batch_size: Crops at a time.

    Raises:
        InputError: An image is missing or cannot be decoded.
    """
    return predict_where_found(model, names, lambda i, image: boxes[i], device, batch_size)


def predict_where_found(
    model: Model,
    names: Sequence[str],
    find_box: Callable[[int, Image], Array],
    device: torch.device,
    batch_size: int = 16,
) -> Predictions:
    """Poses in the images where `find_box(index, image)` finds a person; the memory needed is that of a batch.

    The camera of a single image is unknown: focal length and principal point are assumed as `provenance` states.

    Raises:
        InputError: An image is missing or cannot be decoded.
    """
    network, card, seen, batch = model.network(device), model.card, [], list[_Crop]()
    with progress("predicting", len(names)) as advance:
        for i, image in read_images(names):
            box = np.asarray(find_box(i, image), dtype=float)
            if np.isfinite(box).all():
                crop = crop_image(image, box, card.options.image_size)
                K = assumed_intrinsics((image.shape[1], image.shape[0]), card.focal_ratio)
                batch.append(_Crop(i, box, K, crop))
            if len(batch) == batch_size:
                seen.append(_look(network, card, batch))
                batch.clear()
            advance(1)
    if batch:
        seen.append(_look(network, card, batch))
    return _in_order(seen, names, card)


def _look(network: PoseNetwork, card: ModelCard, batch: list[_Crop]) -> _Seen:
    volume, sharpness = infer(network, np.stack([crop.pixels for crop in batch]))
    confidence = card.confidence(sharpness)
    boxes, K = np.stack([crop.box for crop in batch]), np.stack([crop.K for crop in batch])
    joints_3d, joints_2d = volume_to_pose(volume, boxes, K, card.bone_lengths, card.skeleton, card.convention)
    joints_3d[:, ~card.trained], joints_2d[:, ~card.trained], confidence[:, ~card.trained] = np.nan, np.nan, 0
    return _Seen([crop.image for crop in batch], boxes, joints_3d, joints_2d, confidence)


def _in_order(seen: list[_Seen], names: Sequence[str], card: ModelCard) -> Predictions:
    """Joins batches and puts them in the order of the images: those of videos come last from `read_images`."""
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
        provenance=_provenance(card),
    )


def _provenance(card: ModelCard) -> dict[str, str]:
    return {
        "recording_id": card.recording_id,
        "depth": DEPTH_RULE,
        "scale_source": card.scale_source,
        "camera": f"assumed: focal length {card.focal_ratio:.4g} x the longer side, principal point in the middle",
        "confidence": "sharpness of the joint's heatmap; 0.8 where it is that of the validation frames",
    }
