"""mediapipe's graphs of BlazePose: one finds crops of all people in an image, the other one the joints in a crop."""

from __future__ import annotations

from typing import Any

MOST_PEOPLE = 8  # in a crowd, those with the most confident boxes
_FULL_MODEL = 1
# mediapipe's own graph takes the best box only, and forgets the box once it tracks. These two have the same steps. The
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
input_side_packet: "masked"
output_stream: "joints"
output_stream: "joints_in_space"
output_stream: "next_crop"
output_stream: "mask"
node {
  calculator: "ImagePropertiesCalculator"
  input_stream: "IMAGE_CPU:image"
  output_stream: "SIZE:size"
}
node {
  calculator: "PoseLandmarkByRoiCpu"
  input_side_packet: "MODEL_COMPLEXITY:model"
  input_side_packet: "ENABLE_SEGMENTATION:masked"
  input_stream: "IMAGE:image"
  input_stream: "ROI:crop"
  output_stream: "LANDMARKS:raw"
  output_stream: "AUXILIARY_LANDMARKS:raw_auxiliary"
  output_stream: "WORLD_LANDMARKS:raw_in_space"
  output_stream: "SEGMENTATION_MASK:mask"
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


def network_of_crops() -> Any:
    """Return the network that finds the crop of everyone in an image."""
    from mediapipe.calculators.core import clip_vector_size_calculator_pb2  # noqa: F401 - an option in the graph
    from mediapipe.python.solution_base import SolutionBase

    return SolutionBase(graph_config=_graph(_CROPS % MOST_PEOPLE), outputs=["crops"])


def network_of_joints(masked: bool = False) -> Any:
    """Return the network that finds the joints in one crop, and the crop in which it would look in the next image.

    Args:
        masked: Whether it also says which pixels of the image show the person.
    """
    from mediapipe.python.solution_base import SolutionBase

    return SolutionBase(
        graph_config=_graph(_JOINTS),
        side_inputs={"model": _FULL_MODEL, "off": False, "masked": masked},
        outputs=["joints", "joints_in_space", "next_crop"] + ["mask"] * masked,
    )


def _graph(text: str) -> Any:
    from google.protobuf import text_format
    from mediapipe.framework import calculator_pb2

    return text_format.Parse(text, calculator_pb2.CalculatorGraphConfig())
