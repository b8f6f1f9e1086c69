"""Training images: crops cut once into a file, and augmented anew each time they are asked for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from epitool.camera import Array
from epitool.console import progress
from epitool.errors import GeometryError
from epitool.files import writing
from epitool.images import Image, fingerprint, read_images
from epitool.nn.crops import crop_image, enlarged, labels_to_volume
from epitool.options import TrainOptions
from epitool.pose import Labels, split_frames

CACHE_MARGIN = 1.5  # leaves room to rotate and scale
MIN_JOINTS = 3
MIN_IMAGES = 8


@dataclass(frozen=True, eq=False)
class Samples:
    """The images of a recording that can be trained on, in the order of frames and, within a frame, of views.

    Attributes:
        images: Where each image is, `(N,)`.
        frames: Index of each one's frame in the labels, `(N,)`.
        views: Index of its view, `(N,)`.
        boxes: Square boxes px, `(N, 4)`.
        volume: Volume coordinates of the joints, `(N, J, 3)`.
        visible: Which of them are known and inside the volume, `(N, J)`.
    """

    images: tuple[str, ...]
    frames: NDArray[np.intp]
    views: NDArray[np.intp]
    boxes: Array
    volume: NDArray[np.float32]
    visible: NDArray[np.bool_]

    def part(self, name: str, frame_count: int) -> NDArray[np.intp]:
        """Indices of the samples whose frames belong to a part of `split_frames`."""
        return np.flatnonzero(np.isin(self.frames, split_frames(frame_count)[name]))


def usable_samples(labels: Labels) -> Samples:
    """The images of a recording that have a box, a root and at least MIN_JOINTS joints to learn.

    Raises:
        GeometryError: Training and validation parts have not enough of them.
    """
    boxes = labels.keypoints.boxes()
    volume, visible = labels_to_volume(labels.in_cameras, labels.rig, boxes, labels.poses.skeleton)
    images = labels.keypoints.images
    frames, views = np.nonzero((visible.sum(axis=-1) >= MIN_JOINTS) & (images != "") & np.isfinite(boxes[..., 0]))
    names = tuple(str(name) for name in images[frames, views])
    samples = Samples(names, frames, views, boxes[frames, views], volume[frames, views], visible[frames, views])
    count = len(labels.poses.frames)
    for part, enough in (("train", MIN_IMAGES), ("val", 1)):
        if (found := len(samples.part(part, count))) < enough:
            raise GeometryError(
                f"only {found} images of the {part} part ({len(split_frames(count)[part])} of {count} frames) have a"
                f" pose to learn, {enough} are needed; label more frames"
            )
    return samples


def cached_crops(samples: Samples, image_size: int, folder: Path) -> Image:
    """One crop per sample, `(N, C, C, 3)`, memory-mapped; cut from the images unless the folder holds them already.

    The file's name is a digest of all that its content depends on, so stale crops are never used.

    Raises:
        InputError: An image is missing or cannot be decoded.
    """
    size = round(image_size * CACHE_MARGIN)
    path = folder / f"crops-{_digest(samples, size)}.npy"
    if not path.exists():
        for stale in folder.glob("crops-*.npy"):
            stale.unlink()
        with writing(path) as temporary, progress("cutting crops", len(samples.images)) as advance:
            shape = (len(samples.images), size, size, 3)
            crops = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)  # type: ignore[no-untyped-call]
            for i, image in read_images(samples.images):
                crops[i] = crop_image(image, enlarged(samples.boxes[i], CACHE_MARGIN), size)
                advance(1)
            crops.flush()
            del crops  # Windows renames no open file
    return np.load(path, mmap_mode="r")


def _digest(samples: Samples, size: int) -> str:
    digest = hashlib.sha256(f"{size} {CACHE_MARGIN}".encode())
    digest.update(samples.boxes.round(3).tobytes())
    files = {name: Path(name) if Path(name).exists() else Path(name.rpartition("#")[0]) for name in samples.images}
    contents = {file: fingerprint(file) for file in dict.fromkeys(files.values()) if file.is_file()}
    for name, file in files.items():
        digest.update(f"{name}{contents.get(file)}".encode())
    return digest.hexdigest()[:16]


class CropDataset(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Samples as (RGB crop `(S, S, 3)`, volume coordinates `(J, 3)`, visible `(J,)`).

    An augmentation is drawn from the seed, the epoch and the sample alone: the same in any order and process, and
    after a restart.
    """

    def __init__(self, crops: Image, samples: Samples, options: TrainOptions, augment: bool) -> None:
        """Joins cached crops with their targets; with `augment` off, crops are as `predict` would cut them."""
        self.crops, self.samples, self.options, self.augment = crops, samples, options, augment
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor, Tensor]:
        options = self.options
        volume, visible = self.samples.volume[i], self.samples.visible[i]
        if not self.augment:
            crop = _warp(self.crops[i], np.eye(2), options.image_size)
            return torch.from_numpy(crop), torch.from_numpy(volume), torch.from_numpy(visible)
        rng = np.random.default_rng([options.seed, self.epoch, i])
        turn, scale = draw_turn(rng, options)
        crop = _warp(self.crops[i], turn / scale, options.image_size)
        crop = _recolour(crop, rng, options)
        if options.occlusion:
            paint_occluders(crop, rng)
        volume = volume.copy()
        volume[:, :2] = volume[:, :2] @ turn.T
        volume /= scale
        visible = visible & (np.abs(volume) <= 0.5).all(axis=-1)
        return torch.from_numpy(crop), torch.from_numpy(volume), torch.from_numpy(visible)


def draw_turn(rng: np.random.Generator, options: TrainOptions) -> tuple[NDArray[np.float32], float]:
    """A rotation `(2, 2)` of the crop's x and y, and the factor by which the box is enlarged."""
    angle = np.radians(rng.uniform(-options.rotation_deg, options.rotation_deg))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)
    return turn, float(rng.uniform(*options.scale_range))


def _warp(cached: Image, matrix: NDArray[np.floating[Any]], size: int) -> Image:
    """Maps a cached crop by a matrix of volume coordinates x, y: the crop's middle stays where it is."""
    linear = matrix * (size * CACHE_MARGIN / len(cached))
    offset = size / 2 - linear @ np.full(2, len(cached) / 2)
    affine = np.column_stack([linear, offset])
    return cv2.warpAffine(np.asarray(cached), affine, (size, size), flags=cv2.INTER_LINEAR)  # type: ignore[return-value]


def _recolour(crop: Image, rng: np.random.Generator, options: TrainOptions) -> Image:
    factors = rng.uniform(*options.colour_range, size=3).astype(np.float32)
    return np.clip(crop * factors, 0, 255).astype(np.uint8)


def paint_occluders(crop: Image, rng: np.random.Generator) -> None:
    """Paints up to three ellipses of one colour, in place, on half of the crops.

    They stand for the pasted objects of the paper's synthetic occlusion (Sarandi et al. 2018).
    """
    if rng.random() < 0.5:
        return
    size = len(crop)
    for _ in range(rng.integers(1, 4)):
        center = rng.integers(0, size, 2).tolist()
        axes = (rng.uniform(0.05, 0.15, 2) * size).astype(int).tolist()
        colour = rng.integers(0, 256, 3).tolist()
        cv2.ellipse(crop, center, axes, float(rng.uniform(0, 180)), 0, 360, colour, thickness=-1)
