"""BlazePose of everyone in an image, through mediapipe, whose wheel carries the weights (extra `[mediapipe]`).

Bazarevsky et al., BlazePose: On-device Real-time Body Pose tracking, CVPR workshops 2020.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

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
_TURNS = (20.0, -20.0)  # degrees, of the crops of further looks
# mediapipe's own graph takes the best box only, and forgets the box once it tracks. These two have the same steps: one
# finds the crops of all boxes, the other one looks into one crop and says where it would look in the next image. The
# filter does not smooth joints, but rounds as mediapipe's graph does. It would smooth the points that say where to look
# next over all crops, whoever is in them, so these go past it.
_CROPS = """
input_stream: "image"
output_stream: "crops"
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
  input_stream: "CLONE:0:size"
  output_stream: "ITEM:box"
  output_stream: "CLONE:0:size_of_box"
  output_stream: "BATCH_END:end"
}
node {
  calculator: "PoseDetectionToRoi"
  input_stream: "DETECTION:box"
  input_stream: "IMAGE_SIZE:size_of_box"
  output_stream: "ROI:crop"
}
node {
  calculator: "EndLoopNormalizedRectCalculator"
  input_stream: "ITEM:crop"
  input_stream: "BATCH_END:end"
  output_stream: "ITERABLE:crops"
}
"""
_JOINTS = """
input_stream: "image"
input_stream: "crop"
input_side_packet: "model"
input_side_packet: "off"
output_stream: "joints"
output_stream: "joints_in_space"
output_stream: "next_crop"
node {
  calculator: "ImagePropertiesCalculator"
  input_stream: "IMAGE_CPU:image"
  output_stream: "SIZE:size"
}
node {
  calculator: "PoseLandmarkByRoiCpu"
  input_side_packet: "MODEL_COMPLEXITY:model"
  input_side_packet: "ENABLE_SEGMENTATION:off"
  input_stream: "IMAGE:image"
  input_stream: "ROI:crop"
  output_stream: "LANDMARKS:raw"
  output_stream: "AUXILIARY_LANDMARKS:raw_auxiliary"
  output_stream: "WORLD_LANDMARKS:raw_in_space"
}
node {
  calculator: "PoseLandmarkFiltering"
  input_side_packet: "ENABLE:off"
  input_stream: "IMAGE_SIZE:size"
  input_stream: "NORM_LANDMARKS:raw"
  input_stream: "AUX_NORM_LANDMARKS:raw_auxiliary"
  input_stream: "WORLD_LANDMARKS:raw_in_space"
  output_stream: "FILTERED_NORM_LANDMARKS:joints"
  output_stream: "FILTERED_AUX_NORM_LANDMARKS:unused"
  output_stream: "FILTERED_WORLD_LANDMARKS:joints_in_space"
}
node {
  calculator: "PoseLandmarksToRoi"
  input_stream: "LANDMARKS:raw_auxiliary"
  input_stream: "IMAGE_SIZE:size"
  output_stream: "ROI:next_crop"
}
"""


class _Person(NamedTuple):
    """A person in an image, and the crop in which to look for them in the next one.

    Attributes:
        xy: Joints `(33, 2)` px.
        visibility: Visibility `(33,)`.
        xyz: Joints in space `(33, 3)` mm.
        crop: mediapipe's rectangle in which they were found.
        next_crop: The rectangle for the next image.
    """

    xy: Array
    visibility: Array
    xyz: Array
    crop: Any
    next_crop: Any


@contextmanager
def _native_stderr_silenced() -> Iterator[None]:
    """Hide mediapipe's C++ start-up messages, which no setting turns off, from the terminal."""
    with _silence, open(os.devnull, "w") as nowhere, stream_redirected(2, nowhere.fileno()):  # noqa: PTH123
        yield


class BlazePose:
    """Detector of several people per image, 33 joints; confidence is the network's visibility.

    One network finds boxes of people, and another one the joints in each box. In images that come in order of time,
    people whose box is missed are looked for where they were in the image before.
    """

    name = "mediapipe"
    further = len(_TURNS)

    def __init__(self, device: str = "cpu") -> None:
        """Start the networks, always on the CPU."""
        self.skeleton = skeleton("blazepose33")
        self._trunk = [
            self.skeleton.index(f"{side}_{name}") for side in ("left", "right") for name in ("shoulder", "hip")
        ]
        with _native_stderr_silenced():
            self._crops, self._joints = _networks()
            nobody, everywhere = np.zeros((64, 64, 3), dtype=np.uint8), _whole_image()
            # An answer comes after all that the networks' threads say as they start.
            self._crops.process(nobody)
            self._joints.process({"image": nobody, "crop": everywhere})

    def detect(self, image: Image) -> tuple[Array, Array, Array]:
        """Return joints `(P, 33, 2)` px, visibility `(P, 33)` and joints in space `(P, 33, 3)` mm."""
        return self.follow(image, ())[0]

    def follow(self, image: Image, before: Sequence[_Person]) -> tuple[tuple[Array, Array, Array], list[_Person]]:
        """Return what `detect` does, with people who were found in the image before; and what the next image needs.

        Those whose boxes are found come first, exactly as `detect` finds them. The others are followed until the second
        network no longer takes what it sees for a person, or sees somebody who is found already.
        """
        image, people = np.ascontiguousarray(image), list[_Person]()
        for crop in self._crops.process(image).crops or ():
            self._look(image, crop, people)
        for person in before:
            if len(people) < _MOST_PEOPLE and not found_among(person.xy, [one.xy for one in people], self._trunk):
                self._look(image, person.next_crop, people)
        return self._joined(people), people

    def look_again(self, image: Image, people: Sequence[_Person]) -> list[tuple[Array, Array, Array]]:
        """Return what `detect` does, of people found in this image, in their crops turned one way and the other.

        A crop is turned with a body that leans, and in a turned crop the network may take left for right.
        """
        image, looks = np.ascontiguousarray(image), []
        for degrees in _TURNS:
            seen = list[_Person]()
            for person in people:
                crop = type(person.crop)()
                crop.CopyFrom(person.crop)
                crop.rotation += np.radians(degrees)
                self._look(image, crop, seen)
            looks.append(self._joined(seen))
        return looks

    def _joined(self, people: Sequence[_Person]) -> tuple[Array, Array, Array]:
        joints = len(self.skeleton)
        xy = np.array([person.xy for person in people]).reshape(-1, joints, 2)
        visibility = np.array([person.visibility for person in people]).reshape(-1, joints)
        return xy, visibility, np.array([person.xyz for person in people]).reshape(-1, joints, 3)

    def _look(self, image: Image, crop: Any, people: list[_Person]) -> None:
        """Add the person in a crop, if there is one who is not among the people yet."""
        seen = self._joints.process({"image": image, "crop": crop})
        if seen.joints is None:
            return
        height, width = image.shape[:2]
        # mediapipe measures from the corner of the image, we measure from the centre of the first pixel
        xy = np.array([(joint.x * width, joint.y * height) for joint in seen.joints.landmark]) - 0.5
        if not found_among(xy, [person.xy for person in people], self._trunk):
            visibility = np.array([joint.visibility for joint in seen.joints.landmark])
            xyz = np.array([(joint.x, joint.y, joint.z) for joint in seen.joints_in_space.landmark])
            people.append(_Person(xy, visibility, 1000.0 * xyz, crop, seen.next_crop))


def found_among(xy: Array, people: Sequence[Array], trunk: Sequence[int]) -> bool:
    """Return whether the trunk of a person `(J, 2)` is where that of one of the people is.

    Boxes that hardly overlap may show the second network the same person, perhaps upside down.
    """
    middle, extent = xy[trunk].mean(axis=0), np.ptp(xy, axis=0).max()
    return any(
        np.linalg.norm(middle - one[trunk].mean(axis=0)) <= _SAME_PERSON * max(extent, np.ptp(one, axis=0).max())
        for one in people
    )


def _whole_image() -> Any:
    from mediapipe.framework.formats.rect_pb2 import NormalizedRect

    return NormalizedRect(x_center=0.5, y_center=0.5, width=1.0, height=1.0)


def _networks() -> tuple[Any, Any]:
    from google.protobuf import text_format
    from mediapipe.calculators.core import clip_vector_size_calculator_pb2  # noqa: F401 - an option in the graph
    from mediapipe.framework import calculator_pb2
    from mediapipe.python.solution_base import SolutionBase

    crops, joints = (
        text_format.Parse(g, calculator_pb2.CalculatorGraphConfig()) for g in (_CROPS % _MOST_PEOPLE, _JOINTS)
    )
    return SolutionBase(graph_config=crops, outputs=["crops"]), SolutionBase(
        graph_config=joints,
        side_inputs={"model": _FULL_MODEL, "off": False},
        outputs=["joints", "joints_in_space", "next_crop"],
    )
