"""Samples and crops of a run, made once from labels and images in the run's folder."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np

from epitool.console import say
from epitool.errors import EpitoolError
from epitool.nn.crop_store import CACHE_MARGIN, CropStore, cut_crops, images_digest
from epitool.nn.recording import Recording
from epitool.nn.samples import Samples, collect_samples, image_chunks, open_samples
from epitool.options.network import NetworkOptions
from epitool.skeleton import Skeleton

_SAMPLES, _CROPS = "samples", "crops-{}.jpgs"


def prepare_training_set(recording: Recording, options: NetworkOptions, folder: Path) -> None:
    """Collect the samples and cut their crops, unless the folder already holds these crops.

    Raises:
        GeometryError: Too few frames have a pose.
        InputError: An image is missing or cannot be decoded, there are no poses to learn, or the disk is full.
    """
    try:
        _prepare(recording, options, folder)
    except EpitoolError:
        shutil.rmtree(folder / _SAMPLES, ignore_errors=True)  # of no use without crops
        raise


def _prepare(recording: Recording, options: NetworkOptions, folder: Path) -> None:
    samples = collect_samples(recording, folder / _SAMPLES, options.supervision)
    say(_counted(recording, samples))
    size = round(options.image_size * CACHE_MARGIN)
    path = folder / _CROPS.format(_digest(recording, samples, size))
    if path.exists():
        return
    for stale in folder.glob("crops-*"):
        stale.unlink()
    cut_crops(image_chunks(recording, samples), path, size)


def open_training_set(skeleton: Skeleton, folder: Path) -> tuple[Samples, CropStore]:
    """Open the samples and crops that `prepare_training_set` wrote to a folder."""
    return open_samples(folder / _SAMPLES, skeleton), CropStore(next(folder.glob(_CROPS.format("*"))))


def _counted(recording: Recording, samples: Samples) -> str:
    """Describe how many crops there are, and of whom."""
    train, val = samples.part("train"), samples.part("val")
    text = f"{len(train)} crops to learn from, {len(val)} to choose the epoch by"
    if not recording.others:
        return text
    count = np.bincount(samples.people[train], minlength=len(recording.people)).tolist()
    of_each = ", ".join(f"{n} of {person.person}" for n, person in zip(count, recording.people, strict=True))
    return f"{text}; {len(recording.people)} people: {of_each}"


def _digest(recording: Recording, samples: Samples, size: int) -> str:
    """Return a digest of all that crops depend on, so that outdated ones are never used."""
    digest = hashlib.sha256(f"{size} {CACHE_MARGIN}".encode())
    digest.update(samples.boxes.round(3).tobytes())
    digest.update(images_digest(name for names, _, _ in image_chunks(recording, samples) for name in names).encode())
    return digest.hexdigest()[:16]
