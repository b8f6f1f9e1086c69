"""BlazePose through mediapipe, whose wheel carries the weights (extra `[mediapipe]`).

Bazarevsky et al., BlazePose: On-device Real-time Body Pose tracking, CVPR workshops 2020.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
from numpy.typing import NDArray

from epitool.console import stream_redirected
from epitool.images import Image
from epitool.skeleton import skeleton

Array = NDArray[np.float64]
_silence = threading.RLock()


@contextmanager
def _native_stderr_silenced() -> Iterator[None]:
    """Hide mediapipe's C++ start-up messages, which no setting turns off, from the terminal."""
    with _silence, open(os.devnull, "w") as nowhere, stream_redirected(2, nowhere.fileno()):  # noqa: PTH123
        yield


class BlazePose:
    """Detector of one person per image, 33 joints; confidence is the network's visibility.

    Every image is processed independently: with tracking from frame to frame, results would depend on the first frame.
    """

    name = "mediapipe"

    def __init__(self, device: str = "cpu") -> None:
        """Start the network, always on the CPU."""
        self.skeleton = skeleton("blazepose33")
        self._warm = False
        with _native_stderr_silenced():
            from mediapipe.python.solutions.pose import Pose

            self._network = Pose(static_image_mode=True, model_complexity=1)
            self._network.process(np.zeros((64, 64, 3), dtype=np.uint8))  # waits until its threads have started

    def detect(self, image: Image) -> tuple[Array, Array, Array]:
        """Return joints `(P, 33, 2)` px, visibility `(P, 33)` and joints in space `(P, 33, 3)` mm; P is 1 or 0."""
        with nullcontext() if self._warm else _native_stderr_silenced():
            seen = self._network.process(np.ascontiguousarray(image))
        found = seen.pose_landmarks
        if found is None:
            return np.zeros((0, 33, 2)), np.zeros((0, 33)), np.zeros((0, 33, 3))
        self._warm = True
        height, width = image.shape[:2]
        xy = np.array([[joint.x * width, joint.y * height] for joint in found.landmark])
        xyz = np.array([[joint.x, joint.y, joint.z] for joint in seen.pose_world_landmarks.landmark])
        # mediapipe measures from the corner of the image, we measure from the centre of the first pixel
        visibility = np.array([[joint.visibility for joint in found.landmark]], dtype=np.float64)
        return xy[None] - 0.5, visibility, np.asarray(1000 * xyz[None], dtype=np.float64)
