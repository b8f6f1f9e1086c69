"""Options of `epitool predict`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Annotated

from epitool.errors import UsageError
from epitool.options.flag import Flag, Input, Options, Output
from epitool.options.shared import Detector, Device


@dataclass(frozen=True, kw_only=True)
class PredictOptions(Options):
    """Predict the 3D pose of a person from single images, or from a stream.

    A detector finds the joints and a refinement unit lifts them to 3D. The unit is your own (from epitool refine) or
    the one that comes with epitool. In videos one person is followed, and poses of neighbouring frames are made to
    agree about left and right.

    Example: epitool predict img.jpg --out pose.json

    Live, from a camera, an address or a pipe: epitool predict 0 writes the pose in the newest frame as a line of JSON,
    again and again, until the stream ends or Ctrl-C is pressed. Frames that come while it is busy are dropped.

    In a pipe: find shots -name '*.png' | epitool predict - --out - | epitool evaluate --predictions -
    """

    images: Annotated[
        tuple[str, ...],
        Flag(
            "Images, folders, videos, video.mp4#12, or a keypoints.h5 or labels.h5 for its joints; - reads names from"
            " stdin. Or one stream: a camera's number, an address such as rtsp://HOST/NAME, or a pipe: /dev/stdin.",
            metavar="IMAGE", argument=True, role=Input("names"),
        ),
    ]  # fmt: skip
    model: Annotated[
        Path | None,
        Flag(
            "Network: a checkpoint or model.onnx.", shown="the newest in runs/, where the unit wants it", role=Input()
        ),
    ] = None
    out: Annotated[
        Path | None,
        Flag(
            "File to write, .json, or .jsonl of a stream; - writes to stdout.",
            shown="pose.json; of a stream -", role=Output(("poses.json", "live-poses.jsonl"), stdout=True),
        ),
    ] = None  # fmt: skip
    box: Annotated[str | None, Flag("Where the person is: x,y,w,h in px, or image for the whole image.", more=True)] = (
        None
    )
    boxes: Annotated[
        Path | None, Flag("2D joints from detect2d that show where the people are.", role=Input(), more=True)
    ] = None
    detector: Detector = None
    root_depth: Annotated[
        float | None,
        Flag("Distance of the root joint from the camera, in the model's unit.", least=0, most=1_000_000, more=True),
    ] = None
    height: Annotated[
        str | None, Flag("Height of the person, such as 1.78m. It sets the size of the poses.", metavar="LENGTH")
    ] = None
    refiner: Annotated[
        Path | None, Flag("Refinement unit to use.", shown="the newest in runs/, or the shipped one", role=Input())
    ] = None
    no_refiner: Annotated[bool, Flag("Use the volumetric network alone.", more=True)] = False
    smooth: Annotated[bool, Flag("Smooth the poses of a video over about 0.1 s.")] = False
    overlay: Annotated[
        Path | None, Flag("Folder for images with the pose drawn on them.", role=Output(folder=True))
    ] = None
    batch_size: Annotated[int, Flag("Number of images processed at a time.", least=1, most=65_536, more=True)] = 16
    bf16: Annotated[
        bool, Flag("Faster on processors that have it; joints move by about 0.1 voxel at the most.", more=True)
    ] = False
    device: Device = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_out()
        if self.root_depth is not None and not (self.root_depth > 0 and isfinite(self.root_depth)):
            raise UsageError(f"--root-depth {self.root_depth:g}: expected a distance above 0")
        if self.height is not None and self.root_depth is not None:
            raise UsageError("--height and --root-depth exclude each other: each fixes the size of the poses")
        if self.no_refiner and (self.refiner is not None or self.height is not None):
            raise UsageError("--no-refiner goes with neither --refiner nor --height")
        if self.boxes is not None and (self.box is not None or self.detector is not None):
            raise UsageError("--boxes goes with neither --box nor --detector")
        if self.stream is not None:
            self._check_live(self.stream)

    @property
    def stream(self) -> str | None:
        """The camera, address or pipe that is given in place of images; None if images are given."""
        return next((given for given in self.images if is_stream(given)), None)

    def _check_out(self) -> None:
        """Choose the output if none is given, by what is predicted, and check its name."""
        live = self.stream is not None
        if self.out is None:
            object.__setattr__(self, "out", Path("-" if live else "pose.json"))
        suffix = ".jsonl" if live else ".json"
        out = self.out
        assert out is not None
        if out.suffix.lower() != suffix and out != Path("-") and (out.is_file() or not out.exists()):
            raise UsageError(f"--out {out}: what is written is {suffix}; name the file so")

    def _check_live(self, stream: str) -> None:
        if len(self.images) > 1:
            raise UsageError(f"{stream}: is a stream, which is predicted alone; give it without other inputs")
        if self.smooth:
            raise UsageError(
                "--smooth: needs the frames before and after, and those after have yet to come; leave it out"
            )
        if self.boxes is not None:
            raise UsageError("--boxes: holds the joints of images that are known; leave it out for a stream")
        if self.overlay is not None:
            raise UsageError("--overlay: a stream would fill the folder without end; leave it out")


def is_stream(given: str) -> bool:
    """Return whether an input is a camera's number or device, an address, or a pipe; a file's name is none.

    >>> is_stream("0"), is_stream("http://10.0.0.7/video"), is_stream("walk.mp4")
    (True, True, False)
    """
    path = Path(given)
    if given.isascii() and given.isdecimal():
        return not path.exists()
    return bool(re.match(r"\w[\w+.-]+://", given)) or path.is_fifo() or path.is_char_device()
