"""Training images: crops from the store, augmented anew on each access."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from epitool.images import Image
from epitool.nn.augment import Occluders, draw_turn, recolour, warp
from epitool.nn.crop_store import CACHE_MARGIN
from epitool.nn.samples import Samples
from epitool.options.network import NetworkOptions


class CropDataset(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Samples as (RGB crop `(S, S, 3)`, volume coordinates `(J, 3)`, their weights `(J, 3)`).

    The augmentation of a sample depends only on the seed, the epoch and the sample, so it is the same in any order and
    process, and after a restart.
    """

    def __init__(self, crops: Sequence[Image], samples: Samples, options: NetworkOptions, augment: bool) -> None:
        """Combine cached crops with their targets; without `augment`, crops are as `predict` would cut them.

        Raises:
            InputError: The folder of occluders holds none.
        """
        self.crops, self.samples, self.options, self.augment = crops, samples, options, augment
        occluded = augment and options.occlusion
        self.occluders = Occluders(options.occluders, options.image_size, options.seed) if occluded else None
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor, Tensor]:
        options, samples = self.options, self.samples
        volume, weight = np.array(samples.volume[i]), np.array(samples.weight[i])
        if not self.augment:
            crop = warp(self.crops[i], np.eye(2), options.image_size, CACHE_MARGIN)
            return torch.from_numpy(crop), torch.from_numpy(volume), torch.from_numpy(weight)
        rng = np.random.default_rng([options.seed, self.epoch, i])
        turn, scale = draw_turn(rng, options)
        crop = recolour(warp(self.crops[i], turn / scale, options.image_size, CACHE_MARGIN), rng, options)
        volume[:, :2] = volume[:, :2] @ turn.T
        # A larger box makes the person, and so all volume coordinates, smaller by `scale`.
        volume /= scale
        if self.occluders is not None:
            self.occluders.paint(crop, rng)
        weight *= (np.abs(volume) <= 0.5).all(axis=-1)[:, None]
        return torch.from_numpy(crop), torch.from_numpy(volume), torch.from_numpy(weight)
