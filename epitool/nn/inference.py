"""From single images to poses (section 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from epitool.camera import Array
from epitool.console import progress
from epitool.images import Image, read_images
from epitool.nn.checkpoint import Model
from epitool.nn.crops import assumed_intrinsics, crop_image, volume_to_pose
from epitool.nn.dataset import normalized
from epitool.nn.network import PoseNetwork, soft_argmax
from epitool.pose import Predictions

DEPTH_RULE = "relative to the root; bone lengths of the training labels fix the size"


class _Crop(NamedTuple):
    """One person about to be looked at."""

    image: int
    box: Array
    K: Array
    input: Tensor


class _Seen(NamedTuple):
    """What the network saw in a batch of crops."""

    images: list[int]
    boxes: Array
    joints_3d: Array
    joints_2d: Array
    confidence: Array


@torch.inference_mode()
def infer(network: PoseNetwork, inputs: Tensor) -> tuple[Array, Array]:
    """Volume coordinates `(N, J, 3)` and sharpness `(N, J)` for normalised crops `(N, 3, S, S)`."""
    device = next(network.parameters()).device
    volume = network(inputs.to(device, memory_format=torch.channels_last))
    xyz, sharpness = soft_argmax(volume)
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
    network, seen, batch = model.network(device), [], list[_Crop]()
    with progress("predicting", len(names)) as advance:
        for i, image in read_images(names):
            box = np.asarray(find_box(i, image), dtype=float)
            if np.isfinite(box).all():
                crop = crop_image(image, box, model.options.image_size)
                K = assumed_intrinsics((image.shape[1], image.shape[0]), model.focal_ratio)
                batch.append(_Crop(i, box, K, normalized(crop)))
            if len(batch) == batch_size:
                seen.append(_look(network, model, batch))
                batch.clear()
            advance(1)
    if batch:
        seen.append(_look(network, model, batch))
    return _in_order(seen, names, model)


def _look(network: PoseNetwork, model: Model, batch: list[_Crop]) -> _Seen:
    volume, sharpness = infer(network, torch.stack([crop.input for crop in batch]))
    confidence = model.confidence(sharpness)
    boxes, K = np.stack([crop.box for crop in batch]), np.stack([crop.K for crop in batch])
    joints_3d, joints_2d = volume_to_pose(volume, boxes, K, model.bone_lengths, model.skeleton)
    untrained = np.isnan(model.mean_pose).any(axis=-1)
    joints_3d[:, untrained], joints_2d[:, untrained], confidence[:, untrained] = np.nan, np.nan, 0
    return _Seen([crop.image for crop in batch], boxes, joints_3d, joints_2d, confidence)


def _in_order(seen: list[_Seen], names: Sequence[str], model: Model) -> Predictions:
    """Joins batches and puts them in the order of the images: those of videos come last from `read_images`."""
    joints = len(model.skeleton)
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
        skeleton=model.skeleton,
        unit=model.unit,
        provenance=_provenance(model),
    )


def _provenance(model: Model) -> dict[str, str]:
    return {
        "recording_id": model.recording_id,
        "depth": DEPTH_RULE,
        "scale_source": model.scale_source,
        "camera": f"assumed: focal length {model.focal_ratio:.4g} x the longer side, principal point in the middle",
        "confidence": "sharpness of the joint's heatmap; 0.8 where it is that of the validation frames",
    }
