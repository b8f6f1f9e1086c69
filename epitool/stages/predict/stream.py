"""The newest frame of a camera, an address or a pipe, whatever time the answer to an earlier one takes."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import cv2

from epitool.errors import InputError
from epitool.images import Image

_OPENING_S = 30.0  # after which a stream that has sent no frame cannot be opened
_SILENT_S = 10.0  # after which a stream that sends nothing has dropped out
_LOOK_S = 0.1  # between two looks at whether Ctrl-C was pressed
_LEAVING_S = 1.0  # for which the reader is waited for; it may be inside a read that takes longer
_SILENT_LOG = 0


class Frame(NamedTuple):
    """A frame of a stream.

    Attributes:
        number: Its number among all frames that arrived, counted from 0.
        seconds: When it arrived, since the stream's first frame.
        arrived: The same by `time.monotonic`.
        dropped: Number of frames dropped since the one taken before.
        image: RGB.
    """

    number: int
    seconds: float
    arrived: float
    dropped: int
    image: Image


class Stream:
    """Reader of a stream that holds the newest frame only: a thread reads, and each frame replaces the one before.

    Attributes:
        name: The source in words, without the password that an address may hold.
        arrived: Number of frames that have arrived.
        began: When the first frame arrived, in seconds since 1970; NaN before.
        broken: Why the stream is taken to have dropped out, in words; "" if it ended, or has not ended.
    """

    def __init__(self, source: str) -> None:
        """Begin to open and read a source: a camera's number or device, an address, or a pipe."""
        self.name = hide_secrets(source)
        self.arrived, self.began, self.broken = 0, float("nan"), ""
        self._camera = _camera(source)
        self._source = source
        self._changed = threading.Condition()
        self._newest: tuple[float, Image] | None = None
        self._first = float("nan")
        self._taken = 0
        self._opened = self._over = False
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)  # may be inside a read that never returns
        self._thread.start()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave.set()
        self._thread.join(_LEAVING_S)

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        """Yield the newest frame whenever one is asked for that has not been yielded, until the end or `stop`.

        A stream that sends nothing for 10 seconds, or a camera that stops, has dropped out: then `broken` says so.

        Raises:
            InputError: The source cannot be opened, or holds no frame.
        """
        waited_from = time.monotonic()
        while not stop.is_set():
            frame = self._take()
            if frame is not None:
                yield frame
                waited_from = max(waited_from, frame.arrived)
                continue
            if self._over:
                self._check_opened()
                if self._camera is not None:
                    self.broken = "the camera stopped"
                return
            silent = time.monotonic() - waited_from
            if not self.arrived and silent > _OPENING_S:
                raise InputError(f"{self.name}: sends no frame within {_OPENING_S:g} s; does it play elsewhere?")
            if self.arrived and silent > _SILENT_S:
                self.broken = f"no frame came for {_SILENT_S:g} s"
                return

    def _take(self) -> Frame | None:
        """Return the newest frame, or None if none comes for a moment."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._over, _LOOK_S)
            if self._newest is None:
                return None
            (arrived, image), self._newest = self._newest, None
            number, before = self.arrived - 1, self._taken
            self._taken = self.arrived
        rgb: Image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[assignment]
        return Frame(number, arrived - self._first, arrived, number - before, rgb)

    def _check_opened(self) -> None:
        if self.arrived:
            return
        if self._opened:
            raise InputError(
                f"{self.name}: holds no frame that can be decoded; an .mp4 that comes through a pipe may have its index"
                " at the end: give the file itself"
            )
        if self._camera is not None:
            hint = "is there such a camera, and does no other program use it?"
        elif "://" in self.name:
            hint = "is the address right, and does another player show it?"
        else:
            hint = "is what comes through the pipe a video?"
        raise InputError(f"{self.name}: cannot be opened; {hint}")

    def _read(self) -> None:
        try:
            capture = _open(self._source, self._camera)
            self._opened = capture.isOpened()
            while self._opened and not self._leave.is_set():
                ok, image = capture.read()
                if not ok:
                    break
                self._hold(image)  # type: ignore[arg-type]
            capture.release()
        except cv2.error:  # raised for damaged frames; the stream ends there
            pass
        finally:
            with self._changed:
                self._over = True
                self._changed.notify()

    def _hold(self, image: Image) -> None:
        now = time.monotonic()
        with self._changed:
            if not self.arrived:
                self._first, self.began = now, time.time()
            self._newest = now, image
            self.arrived += 1
            self._changed.notify()


@contextmanager
def until_interrupted() -> Iterator[threading.Event]:
    """Yield an event that the first Ctrl-C sets, so that what is being written is finished; a second one interrupts."""
    stop = threading.Event()
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before in (signal.SIG_IGN, None):
        yield stop
        return

    def heed(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, heed)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def hide_secrets(source: str) -> str:
    """Return a source in words, without what may be secret in an address: user, password and query.

    >>> hide_secrets("rtsp://me:secret@10.0.0.7/main?key=1"), hide_secrets("0")
    ('rtsp://10.0.0.7/main', 'camera 0')
    """
    if source.isdecimal():
        return f"camera {source}"
    found = re.match(r"(\w[\w+.-]*://)(?:[^/?]*@)?([^?]*)", source)
    return found[1] + found[2] if found else source


def _camera(source: str) -> int | None:
    """Return a camera's number; None if the source is none."""
    device = re.fullmatch(r"/dev/video(\d+)", str(Path(source).resolve()))
    return int(source) if source.isdecimal() else int(device[1]) if device else None


def _open(source: str, camera: int | None) -> cv2.VideoCapture:
    log_level = cv2.setLogLevel(_SILENT_LOG)  # OpenCV would report on stderr what our messages say
    try:
        if camera is not None:
            capture = cv2.VideoCapture(camera)
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
            return capture
        patience_ms = int(1000 * _OPENING_S)
        return cv2.VideoCapture(source, cv2.CAP_FFMPEG, [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, patience_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, patience_ms,
            cv2.CAP_PROP_N_THREADS, 1,  # with more, H.264 is decoded in parallel and frames come late by as many
        ])  # fmt: skip
    finally:
        cv2.setLogLevel(log_level)
