"""Options of `epitool convert`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from epitool.errors import UsageError
from epitool.options.flag import Flag, Input, Options, Output, width_and_height
from epitool.options.shared import Views


@dataclass(frozen=True)
class Filter:
    """A filter of poses over time.

    Attributes:
        cutoff_hz: Cutoff of a Butterworth low-pass filter; None for the smoother that learns from the recording.
    """

    cutoff_hz: float | None = None


def read_filter(text: str) -> Filter:
    """Read a filter from a text such as "butterworth:6Hz" or "smooth".

    >>> read_filter("butterworth:6Hz").cutoff_hz
    6.0
    """
    if text == "smooth":
        return Filter()
    found = re.fullmatch(r"butterworth:(\d+(?:\.\d+)?)\s?(?:hz)?", text, re.IGNORECASE)
    if not found or not float(found[1]):
        raise ValueError(f"'{text}': expected butterworth:6Hz, or smooth")
    return Filter(float(found[1]))


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(Options):
    """Read files of other programs, and write files for them.

    2D joints are read from OpenPose, AlphaPose, MMPose, COCO, DeepLabCut and SLEAP into a keypoints.h5. Cameras are
    read and written as TOML (Anipose, Pose2Sim, caliscope), Qualisys, OpenCV and EasyMocap files; those of ROS, Kalibr,
    MC-Calib, Vicon, BioCV and OpenCap are only read. Poses are written as .trc, .c3d, .csv, .bvh or .npz, angles of
    joints as .mot, .sto or angles.csv (any name that ends so), and as a diagram in .png.

    Example: epitool convert pose/cam1_json pose/cam2_json --views cam1.mp4 cam2.mp4 --out keypoints.h5

    Example: epitool convert labels.h5 --unit m --out walk.trc

    Example: epitool convert labels.h5 --unit m --names pose2sim --filter smooth --fill-gaps 10 --out walk.trc
    """

    inputs: Annotated[
        tuple[Path, ...],
        Flag(
            "2D joints of each view, cameras, labels.h5 or pose.json; - reads poses from stdin.",
            metavar="INPUT", argument=True, role=Input("poses"),
        ),
    ]  # fmt: skip
    out: Annotated[
        Path,
        Flag(
            "File to write. Its suffix sets the format.",
            shown=False, role=Output(("keypoints.h5", "cameras.toml", "poses.npz"), or_folder=True),
        ),
    ]  # fmt: skip
    views: Views = ()
    size: Annotated[
        tuple[int, int] | None,
        Flag("Image size, if neither the footage nor the files state it.", metavar="WxH", reads=width_and_height),
    ] = None
    skeleton: Annotated[
        str | None, Flag("Skeleton that gives the order of unnamed 2D joints.", shown="judged by the people's bones")
    ] = None
    fps: Annotated[
        float | None, Flag("Frames per second of the poses. By default that of their video.", least=0.001, most=100_000)
    ] = None
    unit: Annotated[Literal["mm", "cm", "m"] | None, Flag("Unit of the other program's file.")] = None
    up_axis: Annotated[
        Literal["y", "z"] | None, Flag("Axis that points up in the poses' file.", shown="y in .trc and .bvh, else z")
    ] = None
    names: Annotated[
        Literal["pose2sim"] | None, Flag("Call the joints of poses as the markers of Pose2Sim's OpenSim model.")
    ] = None
    filter: Annotated[
        Filter | None,
        Flag(
            "Filter poses over time. butterworth:6Hz: low-pass, zero phase. smooth: learned from the recording.",
            metavar="NAME", reads=read_filter,
        ),
    ] = None  # fmt: skip
    fill_gaps: Annotated[
        int,
        Flag("Fill up to this many missing frames of a joint by splines.", metavar="FRAMES", least=0, most=1_000_000),
    ] = 0
    inverse: Annotated[bool, Flag("The given cameras map from camera to world.")] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.inputs:
            raise UsageError("nothing to convert; name files or folders")
