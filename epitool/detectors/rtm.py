"""RTMPose, RTMW and RTMO by rtmlib on ONNX Runtime (extra `[rtmpose]`); weights by rtmlib's own download.

Jiang et al., RTMPose, arXiv 2303.07399, 2023; Lu et al., RTMO, CVPR 2024; Jiang et al., RTMW, arXiv 2407.08634, 2024.
Networks are those that rtmlib calls balanced.
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
from epitool.errors import CheckpointError, UsageError
from epitool.files import one_at_a_time
from epitool.images import Image
from epitool.skeleton import skeleton

Array = NDArray[np.float64]
_MODE = "balanced"
_MOST_PEOPLE = 8  # of a crowd, those whose boxes are the surest
_UNFINISHED = ".epitool-"
_streams = threading.Lock()
_failures: dict[Path, tuple[float, UsageError]] = {}  # when, and why a graph could not be had


class TopDown:
    """Several people an image: YOLOX finds their boxes, and a second network the joints in each of them.

    Confidence is the mean height of a joint's peaks along x and y (SimCC): no probability, and it may exceed 1.
    """

    def __init__(self, name: str, body: str, networks: Mapping[str, Any], device: str) -> None:
        """Opens both networks, whose addresses and input sizes rtmlib states."""
        self.name, self.skeleton = name, skeleton(body)
        device = _device(device)
        self._boxes = _open("YOLOX", networks["det"], networks["det_input_size"], name, device)
        self._pose = _open("RTMPose", networks["pose"], networks["pose_input_size"], name, device)
        blank = np.zeros((64, 48, 3), dtype=np.uint8)
        _check(name, self._boxes, lambda: self._boxes(blank))
        _check(name, self._pose, lambda: self._pose(blank)[0], joints=len(self.skeleton))

    def detect(self, image: Image) -> tuple[Array, Array]:
        """Joints `(P, J, 2)` px and confidence `(P, J)` of the people whose boxes are the surest."""
        # YOLOX was trained on BGR images, RTMPose on RGB images; rtmlib passes on what it is given.
        boxes = np.asarray(self._boxes(np.ascontiguousarray(image[..., ::-1])), dtype=np.float64).reshape(-1, 4)
        sides = boxes[:, 2:] - boxes[:, :2]
        boxes = boxes[np.isfinite(boxes).all(axis=1) & (sides > 0).all(axis=1)][:_MOST_PEOPLE]
        if not len(boxes):  # without boxes rtmlib would take the whole image for a person
            return _nobody(len(self.skeleton))
        return _seen(*self._pose(np.ascontiguousarray(image), bboxes=boxes))


class OneStage:
    """Several people an image, 17 joints each, by RTMO: one network, as fast for many people as for one.

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
        """Joints `(P, 17, 2)` px and confidence `(P, 17)` of the people who are the surest."""
        ratio, answers = self._answers(image)
        if not answers[0].shape[1]:
            return _nobody(len(self.skeleton))
        network = self._network
        xy, confidence = network.postprocess(answers, ratio, network.nms_thr, network.score_thr)
        # rtmlib shrinks images with pixels as areas and grows joints with pixels as points
        return _seen(xy[:_MOST_PEOPLE] + (0.5 / ratio - 0.5), confidence[:_MOST_PEOPLE])

    def _answers(self, image: Image) -> tuple[float, list[NDArray[np.float32]]]:
        """How much the image is scaled, and boxes `(1, P, 5)` and joints `(1, P, 17, 3)` in the scaled image."""
        scaled, ratio = self._network.preprocess(np.ascontiguousarray(image[..., ::-1]))  # it was trained on BGR
        return ratio, self._network.inference(scaled)


def body_with_feet(device: str) -> TopDown:
    """RTMPose of 26 joints: COCO's, crown, neck, pelvis, heels and toes."""
    from rtmlib import BodyWithFeet

    return TopDown("rtmpose", "halpe26", BodyWithFeet.MODE[_MODE], device)


def whole_body(device: str) -> TopDown:
    """RTMW of 133 joints: body, feet, face and hands."""
    from rtmlib import Wholebody

    return TopDown("wholebody", "wholebody133", Wholebody.MODE[_MODE], device)


def _nobody(joints: int) -> tuple[Array, Array]:
    return np.empty((0, joints, 2)), np.empty((0, joints))


def _seen(xy: NDArray[Any], confidence: NDArray[Any]) -> tuple[Array, Array]:
    """Joints without any confidence are not seen: rtmlib puts them into a corner. So are people without joints."""
    xy, confidence = np.array(xy, dtype=np.float64), np.array(confidence, dtype=np.float64)
    missing = ~(np.isfinite(xy).all(axis=-1) & (confidence > 0) & np.isfinite(confidence))
    xy[missing], confidence[missing] = np.nan, 0.0
    somebody = ~missing.all(axis=1)
    return xy[somebody], confidence[somebody]


def _device(name: str) -> str:
    """`cpu`, `cuda` or `cuda:N`, where this ONNX Runtime can; `auto` is the GPU if it can use one."""
    import onnxruntime

    with_gpu = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if name == "auto":
        return "cuda" if with_gpu else "cpu"
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (":" in name and not number.isdecimal()):
        raise UsageError(f"device '{name}': expected auto, cpu, cuda or cuda:N")
    if kind == "cuda" and not with_gpu:
        raise UsageError(
            f"device '{name}': this ONNX Runtime computes on the CPU only; use --device cpu, or install"
            " onnxruntime-gpu in place of onnxruntime"
        )
    return name if kind == "cuda" else "cpu"


class _Hushed:
    """A stream that drops what one thread writes: others may have something to say meanwhile, as of Ctrl-C."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._thread = stream, threading.get_ident()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        return len(text) if threading.get_ident() == self._thread else self._stream.write(text)


@contextmanager
def _hushed() -> Iterator[None]:
    """Keeps what rtmlib says to itself from the summary on stdout, and from stderr."""
    with _streams, redirect_stdout(_Hushed(sys.stdout)), redirect_stderr(_Hushed(sys.stderr)):
        yield


def _open(kind: str, address: str, size: tuple[int, int], name: str, device: str) -> Any:
    """One of rtmlib's networks, on ONNX Runtime.

    Raises:
        UsageError: Its weights are not there and cannot be fetched.
        CheckpointError: They cannot be read.
    """
    import rtmlib

    graph = _fetched(address, name)
    try:
        with _hushed():
            return getattr(rtmlib, kind)(str(graph), model_input_size=size, backend="onnxruntime", device=device)
    except Exception as error:  # of many kinds, none of them public
        raise _unusable(name, graph, error) from None


def _check(name: str, network: Any, look: Any, joints: int | None = None) -> None:
    """That a graph, which may have been put there by hand, is of the kind that its name says.

    Raises:
        CheckpointError: It is not.
    """
    try:
        found = np.shape(look())
        if joints is not None and found[-2] != joints:
            raise ValueError(f"it finds {found[-2]} joints, not {joints}")
    except Exception as error:  # whatever another graph's inputs and outputs lead to
        raise _unusable(name, Path(network.onnx_model), error) from None


def _unusable(name: str, graph: Path, error: Exception) -> CheckpointError:
    reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return CheckpointError(
        f"--detector {name}: {graph}: is not the network that it should be ({reason}); delete it, and the next run"
        " fetches it anew"
    )


def _fetched(address: str, name: str) -> Path:
    """The graph in rtmlib's cache; rtmlib fetches it where it is missing.

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
        if graph.is_file():  # another thread or process has been at it
            return graph
        failed, failure = _failures.get(graph, (-np.inf, None))
        if failure and failed > asked:  # another thread has waited for a dead network, while this one waited for it
            raise failure
        try:
            say(f"fetching {file} into {folder}, once")
            _fetch(address, graph, archive)
        except Exception as error:  # whatever networks and damaged archives raise
            failure = UsageError(f"--detector {name}: {_reason(error, archive)}")
            _failures[graph] = time.monotonic(), failure
            raise failure from None
    return graph


def _reason(error: Exception, archive: Path) -> str:
    """Why there is no graph, and what to do."""
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
    """Fetches and unpacks into a folder of its own, so that the cache never holds a part of a file."""
    from rtmlib.tools.file import download_checkpoint

    graph.parent.mkdir(parents=True, exist_ok=True)
    for left in graph.parent.glob(f"{_UNFINISHED}*"):  # by a run that was killed; nobody else fetches now
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=graph.parent) as fresh:
        if archive.is_file():  # it was put there by hand
            shutil.copy(archive, fresh)
        with _hushed():
            got = download_checkpoint(address, fresh, progress=False)
        Path(got).replace(graph)
