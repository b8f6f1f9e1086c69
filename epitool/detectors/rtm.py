"""RTMPose, RTMW and RTMO by rtmlib on ONNX Runtime (extra `[rtmpose]`), with weights downloaded by rtmlib.

Jiang et al., RTMPose, arXiv 2303.07399, 2023; Lu et al., RTMO, CVPR 2024; Jiang et al., RTMW, arXiv 2407.08634, 2024.
The networks are those that rtmlib calls balanced.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epitool.console import say
from epitool.errors import CheckpointError, UsageError, first_line
from epitool.files import one_at_a_time
from epitool.images import Image
from epitool.options.shared import check_device
from epitool.skeleton import skeleton

Array = NDArray[np.float64]
_MODE = "balanced"
_MOST_PEOPLE = 8  # in a crowd, those with the most confident boxes
_UNFINISHED = ".epitool-"
_streams = threading.Lock()
_failures: dict[Path, tuple[float, UsageError]] = {}  # time and reason of the last failure to fetch a graph


class TopDown:
    """Detector of several people per image: YOLOX finds their boxes, and a second network the joints in each box.

    Confidence is the mean height of a joint's peaks along x and y (SimCC). It is no probability and may exceed 1.
    """

    def __init__(self, name: str, body: str, networks: Mapping[str, Any], device: str) -> None:
        """Open both networks, whose addresses and input sizes rtmlib provides."""
        self.name, self.skeleton = name, skeleton(body)
        device = _device(device)
        self._boxes = _open("YOLOX", networks["det"], networks["det_input_size"], name, device)
        self._pose = _open("RTMPose", networks["pose"], networks["pose_input_size"], name, device)
        blank = np.zeros((64, 48, 3), dtype=np.uint8)
        _check(name, self._boxes, lambda: self._boxes(blank))
        _check(name, self._pose, lambda: self._pose(blank)[0], joints=len(self.skeleton))

    def detect(self, image: Image) -> tuple[Array, Array]:
        """Return joints `(P, J, 2)` px and confidence `(P, J)` of the people with the most confident boxes."""
        # YOLOX was trained on BGR images, RTMPose on RGB images; rtmlib does not convert them.
        boxes = np.asarray(self._boxes(np.ascontiguousarray(image[..., ::-1])), dtype=np.float64).reshape(-1, 4)
        sides = boxes[:, 2:] - boxes[:, :2]
        boxes = boxes[np.isfinite(boxes).all(axis=1) & (sides > 0).all(axis=1)][:_MOST_PEOPLE]
        if not len(boxes):  # without boxes rtmlib would treat the whole image as one person
            return _nobody(len(self.skeleton))
        return _keep_seen(*self._pose(np.ascontiguousarray(image), bboxes=boxes))


class OneStage:
    """Detector of several people per image, 17 joints each, by RTMO: one network, as fast for many people as for one.

    Confidence is the network's visibility.
    """

    name = "rtmo"

    def __init__(self, device: str) -> None:
        from rtmlib import Body

        self.skeleton = skeleton("coco17")
        network = Body.RTMO_MODE[_MODE]
        self._network = _open("RTMO", network["pose"], network["pose_input_size"], self.name, _device(device))
        blank = np.zeros((64, 48, 3), dtype=np.uint8)
        _check(self.name, self._network, lambda: self._answers(blank)[1][1], joints=len(self.skeleton))

    def detect(self, image: Image) -> tuple[Array, Array]:
        """Return joints `(P, 17, 2)` px and confidence `(P, 17)` of the most confident people."""
        ratio, answers = self._answers(image)
        if not answers[0].shape[1]:
            return _nobody(len(self.skeleton))
        network = self._network
        xy, confidence = network.postprocess(answers, ratio, network.nms_thr, network.score_thr)
        # rtmlib resizes images by pixel areas but scales joints back by pixel centres; this corrects the offset
        return _keep_seen(xy[:_MOST_PEOPLE] + (0.5 / ratio - 0.5), confidence[:_MOST_PEOPLE])

    def _answers(self, image: Image) -> tuple[float, list[NDArray[np.float32]]]:
        """Return the scale of the image, and boxes `(1, P, 5)` and joints `(1, P, 17, 3)` in the scaled image."""
        scaled, ratio = self._network.preprocess(np.ascontiguousarray(image[..., ::-1]))  # it was trained on BGR
        return ratio, self._network.inference(scaled)


def body_with_feet(device: str) -> TopDown:
    """Return RTMPose with 26 joints: COCO's, crown, neck, pelvis, heels and toes."""
    from rtmlib import BodyWithFeet

    return TopDown("rtmpose", "halpe26", BodyWithFeet.MODE[_MODE], device)


def whole_body(device: str) -> TopDown:
    """Return RTMW with 133 joints: body, feet, face and hands."""
    from rtmlib import Wholebody

    return TopDown("wholebody", "wholebody133", Wholebody.MODE[_MODE], device)


def _nobody(joints: int) -> tuple[Array, Array]:
    return np.empty((0, joints, 2)), np.empty((0, joints))


def _keep_seen(xy: NDArray[Any], confidence: NDArray[Any]) -> tuple[Array, Array]:
    """Set joints without confidence, which rtmlib puts into a corner, to NaN, and drop people without joints."""
    xy, confidence = np.array(xy, dtype=np.float64), np.array(confidence, dtype=np.float64)
    missing = ~(np.isfinite(xy).all(axis=-1) & (confidence > 0) & np.isfinite(confidence))
    xy[missing], confidence[missing] = np.nan, 0.0
    somebody = ~missing.all(axis=1)
    return xy[somebody], confidence[somebody]


def _device(name: str) -> str:
    """Return `cpu`, `cuda` or `cuda:N` if this ONNX Runtime supports it; `auto` is the GPU if it is supported."""
    import onnxruntime

    with_gpu = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if name == "auto":
        return "cuda" if with_gpu else "cpu"
    check_device(name)
    if name != "cpu" and not with_gpu:
        raise UsageError(
            f"--device {name}: this ONNX Runtime computes on the CPU only; take the device cpu, or install"
            " onnxruntime-gpu in place of onnxruntime"
        )
    return name


class _Hushed:
    """Stream that drops what one thread writes; other threads may still write, for example about Ctrl-C."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._thread = stream, threading.get_ident()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        return len(text) if threading.get_ident() == self._thread else self._stream.write(text)


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep rtmlib's messages out of stdout, which holds the summary, and out of stderr."""
    with _streams, redirect_stdout(_Hushed(sys.stdout)), redirect_stderr(_Hushed(sys.stderr)):
        yield


def _open(kind: str, address: str, size: tuple[int, int], name: str, device: str) -> Any:
    """Open one of rtmlib's networks on ONNX Runtime.

    Raises:
        UsageError: Its weights are missing and cannot be fetched.
        CheckpointError: They cannot be read.
    """
    import rtmlib

    graph = _fetched(address, name)
    try:
        with _hushed():
            return getattr(rtmlib, kind)(str(graph), model_input_size=size, backend="onnxruntime", device=device)
    except Exception as error:  # of many types, none of which is public
        raise _unusable(name, graph, error) from None


def _check(name: str, network: Any, look: Any, joints: int | None = None) -> None:
    """Check that a graph, which the user may have put there by hand, is of the kind that its name says.

    Raises:
        CheckpointError: It is not.
    """
    try:
        found = np.shape(look())
        if joints is not None and found[-2] != joints:
            raise ValueError(f"it finds {found[-2]} joints, not {joints}")
    except Exception as error:  # another graph's inputs and outputs can cause any error
        raise _unusable(name, Path(network.onnx_model), error) from None


def _unusable(name: str, graph: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"detector {name}: {graph}: is not the network that it should be ({first_line(error)}); delete it, and the"
        " next run fetches it anew"
    )


def _fetched(address: str, name: str) -> Path:
    """Return the graph in rtmlib's cache; rtmlib fetches it if it is missing.

    Raises:
        UsageError: It cannot be fetched.
        InputError: The cache cannot be written to.
    """
    from rtmlib.tools.file import _get_rtmhub_dir

    folder = Path(_get_rtmhub_dir()) / "checkpoints"
    file = address.rpartition("/")[2]
    graph, archive = folder / f"{file.partition('.')[0]}.onnx", folder / file
    if graph.is_file():
        return graph
    asked = time.monotonic()
    with one_at_a_time(folder):
        if graph.is_file():  # another thread or process has fetched it meanwhile
            return graph
        failed, failure = _failures.get(graph, (-np.inf, None))
        if failure and failed > asked:  # another thread failed while this one waited for the lock
            raise failure
        try:
            say(f"fetching {file} into {folder}, once")
            _fetch(address, graph, archive)
        except Exception as error:  # networks and damaged archives raise many types
            failure = UsageError(f"detector {name}: {_reason(error, archive)}")
            _failures[graph] = time.monotonic(), failure
            raise failure from None
    return graph


def _reason(error: Exception, archive: Path) -> str:
    """Return why there is no graph, and what to do."""
    if isinstance(error, (OSError, HTTPException)):
        said = getattr(error, "reason", error)
        return (
            f"its weights cannot be fetched ({said}); connect to the network once, or put {archive.name} into"
            f" {archive.parent}"
        )
    if archive.is_file():
        return f"{archive} is damaged ({error}); delete it"
    return f"{archive.name} came in part only, and was not kept ({error}); run the same command again"


def _fetch(address: str, graph: Path, archive: Path) -> None:
    """Fetch and unpack into a separate folder, so that the cache never holds a part of a file."""
    from rtmlib.tools.file import download_checkpoint

    graph.parent.mkdir(parents=True, exist_ok=True)
    for left in graph.parent.glob(f"{_UNFINISHED}*"):  # left by a run that was killed; the lock excludes other runs
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=graph.parent) as fresh:
        if archive.is_file():  # the user put it there by hand
            shutil.copy(archive, fresh)
        with _hushed():
            got = download_checkpoint(address, fresh, progress=False)
        Path(got).replace(graph)
