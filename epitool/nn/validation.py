"""Evaluation of a network on the validation part during training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray

from epitool.camera import Array
from epitool.images import Image
from epitool.metrics import nmpjpe
from epitool.nn.crops import volume_to_pose
from epitool.nn.dataset import CropDataset
from epitool.nn.network import PoseNetwork
from epitool.nn.samples import Samples
from epitool.nn.torch_engine import infer
from epitool.options.network import NetworkOptions

_BLOCK = 65536


@torch.no_grad()
def validate(
    network: PoseNetwork,
    samples: Samples,
    store: Sequence[Image],
    options: NetworkOptions,
    fabric: Fabric,
) -> dict[str, float]:
    """Measure errors on the validation part; every process measures a share.

    Returns:
        `val_2d_percent`: mean distance of x and y, in percent of the box. `val_nmpjpe`: computed with each image's own
        intrinsics, in the recording's unit; not for "2d". `val_sharpness`: mean sharpness of the heatmaps. NaN where
        there was nothing to measure.
    """
    network.eval()
    in_depth = options.supervision != "2d"
    part = samples.part("val")[fabric.global_rank :: fabric.world_size]
    dataset, sums = CropDataset(store, samples, options, augment=False), np.zeros((3, 2))
    for start in range(0, len(part), options.batch_size):
        indices = part[start : start + options.batch_size]
        volume, sharpness = infer(network, np.stack([dataset[i][0].numpy() for i in indices]))
        known = samples.weight[indices][..., 0] > 0
        distance = np.linalg.norm(volume[..., :2] - samples.volume[indices][..., :2], axis=-1)
        errors = _nmpjpe(volume, indices, samples) if in_depth else np.empty(0)
        for k, values in enumerate((100 * distance[known], sharpness[known], errors[np.isfinite(errors)])):
            sums[k] += values.sum(), len(values)
    totals = fabric.all_reduce(torch.from_numpy(sums).to(fabric.device), reduce_op="sum")
    flat, sharp, deep = (total / count if count else np.nan for total, count in totals.tolist())  # type: ignore[union-attr]
    return {"val_2d_percent": flat, **({"val_nmpjpe": deep} if in_depth else {}), "val_sharpness": sharp}


def _nmpjpe(volume: Array, indices: NDArray[np.intp], samples: Samples) -> Array:
    lengths, skeleton = samples.bone_lengths, samples.skeleton
    boxes, K, lenses = samples.boxes[indices], samples.K[indices].astype(float), samples.lenses[indices]
    poses, _ = volume_to_pose(volume, boxes, K, lengths, skeleton, lenses=lenses)
    return nmpjpe(poses, samples.pose[indices].astype(float), skeleton.root)


def baseline_error(samples: Samples, supervision: str) -> float:
    """Return the error that `validate` would find for a network that always answers the mean of the training part."""
    train, val = samples.part("train"), samples.part("val")
    if supervision != "2d":
        mean = _mean(samples.pose, train)
        return float(np.nanmean(nmpjpe(mean, samples.pose[val].astype(float), samples.skeleton.root)))
    known = samples.weight[val][..., 0] > 0
    mean = _mean(np.where(samples.weight[train] > 0, samples.volume[train], np.nan), np.arange(len(train)))
    distance = np.linalg.norm(mean[:, :2] - samples.volume[val][..., :2], axis=-1)
    return float(100 * distance[known].mean())


def _mean(values: NDArray[np.float32], part: NDArray[np.intp]) -> Array:
    """Return the mean `(J, 3)` over the images of a part; NaN for joints never known.

    Images are added up in blocks, to bound memory.
    """
    total, count = np.zeros(values.shape[1:]), np.zeros(values.shape[1:])
    for start in range(0, len(part), _BLOCK):
        block = values[part[start : start + _BLOCK]].astype(float)
        total += np.nansum(block, axis=0)
        count += np.isfinite(block).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
