"""Keypoint R-CNN of torchvision, with weights downloaded by torchvision.

He et al., Mask R-CNN, ICCV 2017; trained on COCO keypoints.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.errors import UsageError, first_line
from epitool.images import Image
from epitool.skeleton import skeleton

Array = NDArray[np.float64]
_MIN_SCORE = 0.5
_MOST_PEOPLE = 8  # in a crowd, those with the highest scores


class KeypointRCNN:
    """Detector of several people per image, 17 joints; confidence is the logistic of the heatmap's peak score."""

    name = "keypointrcnn"

    def __init__(self, device: str) -> None:
        import torch

        from epitool.nn.device import pick_device

        try:
            from torchvision.models import detection
            from torchvision.ops import nms

            nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
        except (RuntimeError, NotImplementedError) as error:
            raise UsageError(
                f"detector keypointrcnn: torchvision's compiled operators do not load ({first_line(error)}); install"
                " builds of torch and torchvision that belong together"
            ) from None
        self._torch = torch
        self._device = pick_device(device)
        self.skeleton = skeleton("coco17")
        weights = detection.KeypointRCNN_ResNet50_FPN_Weights.DEFAULT
        try:
            # Building the network draws random weights; the fork keeps the caller's generator as it is.
            with torch.random.fork_rng(devices=[]):
                network = detection.keypointrcnn_resnet50_fpn(weights=weights)
        except OSError as error:
            raise UsageError(
                f"detector keypointrcnn: its weights cannot be downloaded ({error}); connect to the network once, or"
                f" put the file of {weights.url.rpartition('/')[2]} into {torch.hub.get_dir()}/checkpoints"
            ) from None
        self._network = network.eval().to(self._device)

    def detect(self, image: Image) -> tuple[Array, Array]:
        """Return joints `(P, 17, 2)` px and confidence `(P, 17)` of the people with the highest scores."""
        tensor = self._torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float() / 255
        with self._torch.inference_mode():
            found = self._network([tensor.to(self._device)])[0]
        sure = int((found["scores"] >= _MIN_SCORE).sum())  # people are in the order of their scores
        people = slice(min(sure, _MOST_PEOPLE))
        xy = found["keypoints"][people, :, :2].double().cpu().numpy()
        peak = found["keypoints_scores"][people].double().cpu().numpy()
        return xy.reshape(-1, 17, 2), 1 / (1 + np.exp(-peak.reshape(-1, 17)))
