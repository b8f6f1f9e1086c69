"""Trained pose network as the 2D detector of another recording: the paper's frozen 2D branch (section 3.1)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from epitool.camera import Array
from epitool.images import Image
from epitool.nn.crops import crop_image, squared
from epitool.nn.inference import open_engine
from epitool.pose import square_boxes

_SURE = 0.5  # confidence from which joints are used to locate the person


class CheckpointDetector:
    """Detector of the joints of one person, by x and y of a trained network's soft-argmax.

    It processes the whole image first, and then the box around the joints found. The network's supervision and its
    depth do not matter.
    """

    def __init__(self, path: Path, device: str = "auto") -> None:
        """Load a `model.pt` or `model.onnx`, or a file of the authors' release.

        Raises:
            InputError: There is no such file.
            CheckpointError: It cannot be used.
            UsageError: There is no such device.
        """
        self._engine = open_engine(path, device)
        self._card = self._engine.card
        self.name = f"checkpoint:{path.name}"
        self.skeleton = self._card.skeleton

    def detect(self, image: Image) -> tuple[Array, Array]:
        """Return joints `(P, J, 2)` px and confidence `(P, J)` in an RGB image; P is 1, or 0 if nobody is seen.

        Joints that the network never learned are NaN with confidence 0.
        """
        height, width = image.shape[:2]
        xy, confidence = self._look(image, squared(np.array([0.0, 0.0, width, height])))
        seen = np.where(confidence[:, None] >= _SURE, xy, np.nan)
        box = square_boxes(seen, self._card.convention.margin)
        if not np.isfinite(box).all():
            return np.empty((0, *xy.shape)), np.empty((0, *confidence.shape))
        xy, confidence = self._look(image, box)
        return xy[None], confidence[None]

    def _look(self, image: Image, box: Array) -> tuple[Array, Array]:
        crop = crop_image(image, box, self._card.options.image_size)
        volume, sharpness = self._engine(crop[None])
        xy = (volume[0, :, :2] + 0.5) * box[2] + box[:2]
        confidence = self._card.confidence(sharpness[0])
        trained = self._card.trained
        return np.where(trained[:, None], xy, np.nan), np.where(trained, confidence, 0.0)
