"""BlazePose of everyone in an image, through mediapipe, whose wheel carries the weights (extra `[mediapipe]`).

Bazarevsky et al., BlazePose: On-device Real-time Body Pose tracking, CVPR workshops 2020.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epitool.console import stream_redirected
from epitool.images import Image
from epitool.skeleton import skeleton

Array = NDArray[np.float64]
_silence = threading.RLock()
_MOST_PEOPLE = 8  # in a crowd, those with the most confident boxes
_SAME_PERSON = 0.25  # of the larger extent, between middles of trunks: found twice, under 0.2; two people, from 0.3
_FULL_MODEL = 1
# mediapipe's own graph takes the best box only. This one has the same steps, done for each of the boxes; the filter
# does not smooth, but rounds as mediapipe's graph does.
_GRAPH = """
input_stream: "image"
input_side_packet: "model"
input_side_packet: "off"
output_stream: "joints"
output_stream: "joints_in_space"
node {
  calculator: "PoseDetectionCpu"
  input_stream: "IMAGE:image"
  output_stream: "DETECTIONS:every_box"
}
node {
  calculator: "ClipDetectionVectorSizeCalculator"
  input_stream: "every_box"
  output_stream: "boxes"
  options { [mediapipe.ClipVectorSizeCalculatorOptions.ext] { max_vec_size: %d } }
}
node {
  calculator: "ImagePropertiesCalculator"
  input_stream: "IMAGE_CPU:image"
  output_stream: "SIZE:size"
}
node {
  calculator: "BeginLoopDetectionCalculator"
  input_stream: "ITERABLE:boxes"
  input_stream: "CLONE:0:image"
  input_stream: "CLONE:1:size"
  output_stream: "ITEM:box"
  output_stream: "CLONE:0:image_of_box"
  output_stream: "CLONE:1:size_of_box"
  output_stream: "BATCH_END:end"
}
node {
  calculator: "PoseDetectionToRoi"
  input_stream: "DETECTION:box"
  input_stream: "IMAGE_SIZE:size_of_box"
  output_stream: "ROI:crop"
}
node {
  calculator: "PoseLandmarkByRoiCpu"
  input_side_packet: "MODEL_COMPLEXITY:model"
  input_side_packet: "ENABLE_SEGMENTATION:off"
  input_stream: "IMAGE:image_of_box"
  input_stream: "ROI:crop"
  output_stream: "LANDMARKS:raw"
  output_stream: "AUXILIARY_LANDMARKS:raw_auxiliary"
  output_stream: "WORLD_LANDMARKS:raw_in_space"
}
node {
  calculator: "PoseLandmarkFiltering"
  input_side_packet: "ENABLE:off"
  input_stream: "IMAGE_SIZE:size_of_box"
  input_stream: "NORM_LANDMARKS:raw"
  input_stream: "AUX_NORM_LANDMARKS:raw_auxiliary"
  input_stream: "WORLD_LANDMARKS:raw_in_space"
  output_stream: "FILTERED_NORM_LANDMARKS:person"
  output_stream: "FILTERED_AUX_NORM_LANDMARKS:auxiliary"
  output_stream: "FILTERED_WORLD_LANDMARKS:person_in_space"
}
node {
  calculator: "EndLoopNormalizedLandmarkListVectorCalculator"
  input_stream: "ITEM:person"
  input_stream: "BATCH_END:end"
  output_stream: "ITERABLE:joints"
}
node {
  calculator: "EndLoopLandmarkListVectorCalculator"
  input_stream: "ITEM:person_in_space"
  input_stream: "BATCH_END:end"
  output_stream: "ITERABLE:joints_in_space"
}
"""


@contextmanager
def _native_stderr_silenced() -> Iterator[None]:
    """Hide mediapipe's C++ start-up messages, which no setting turns off, from the terminal."""
    with _silence, open(os.devnull, "w") as nowhere, stream_redirected(2, nowhere.fileno()):  # noqa: PTH123
        yield


class BlazePose:
    """Detector of several people per image, 33 joints; confidence is the network's visibility.

    One network finds boxes of people, and another one the joints in each box. Every image is processed independently:
    with tracking from frame to frame, results would depend on the first frame.
    """

    name = "mediapipe"

    def __init__(self, device: str = "cpu") -> None:
        """Start the networks, always on the CPU."""
        self.skeleton = skeleton("blazepose33")
        self._trunk = [
            self.skeleton.index(f"{side}_{name}") for side in ("left", "right") for name in ("shoulder", "hip")
        ]
        self._warm = False
        with _native_stderr_silenced():
            self._network = _network()
            self._network.process(np.zeros((64, 64, 3), dtype=np.uint8))  # waits until its threads have started

    def detect(self, image: Image) -> tuple[Array, Array, Array]:
        """Return joints `(P, 33, 2)` px, visibility `(P, 33)` and joints in space `(P, 33, 3)` mm."""
        with nullcontext() if self._warm else _native_stderr_silenced():
            seen = self._network.process(np.ascontiguousarray(image))
        found = [person.landmark for person in seen.joints or ()]
        in_space = [person.landmark for person in seen.joints_in_space or ()]
        self._warm |= bool(found)
        height, width = image.shape[:2]
        xy = [[(joint.x * width, joint.y * height) for joint in person] for person in found]
        xyz = [[(joint.x, joint.y, joint.z) for joint in person] for person in in_space]
        visibility = [[joint.visibility for joint in person] for person in found]
        # mediapipe measures from the corner of the image, we measure from the centre of the first pixel
        pixels = np.array(xy, dtype=np.float64).reshape(-1, len(self.skeleton), 2) - 0.5
        kept = _found_once(pixels, self._trunk)
        seen_by = np.array(visibility, dtype=np.float64).reshape(pixels.shape[:2])
        mm = 1000 * np.array(xyz, dtype=np.float64).reshape(*pixels.shape[:2], 3)
        return pixels[kept], seen_by[kept], mm[kept]


def _found_once(xy: Array, trunk: list[int]) -> list[int]:
    """Return the indices of people `(P, J, 2)` without those whose trunk is where somebody's before them is.

    Boxes that hardly overlap may show the second network the same person, perhaps upside down.
    """
    extent, middle, kept = np.ptp(xy, axis=1).max(axis=-1), xy[:, trunk].mean(axis=1), list[int]()
    for i in range(len(xy)):
        apart = np.linalg.norm(middle[i] - middle[kept], axis=-1)
        if (apart > _SAME_PERSON * np.maximum(extent[i], extent[kept])).all():
            kept.append(i)
    return kept


def _network() -> Any:
    from google.protobuf import text_format
    from mediapipe.calculators.core import clip_vector_size_calculator_pb2  # noqa: F401 - an option in the graph
    from mediapipe.framework import calculator_pb2
    from mediapipe.python.solution_base import SolutionBase

    graph = text_format.Parse(_GRAPH % _MOST_PEOPLE, calculator_pb2.CalculatorGraphConfig())
    return SolutionBase(
        graph_config=graph,
        side_inputs={"model": _FULL_MODEL, "off": False},
        outputs=["joints", "joints_in_space"],
    )
