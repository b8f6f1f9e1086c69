"""Writer of JSON lines of poses, whole lines only, for programs that read while a stream is running."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from datetime import datetime, timezone
from io import RawIOBase
from pathlib import Path
from types import TracebackType
from typing import Any

from epitool.errors import InputError
from epitool.files import STDIO
from epitool.io.predictions import OF_POSE, described, pose_values
from epitool.pose import Predictions


class PoseLines:
    """A file, or standard output, that takes a line of JSON for each frame.

    The first line says what the others hold. Each line is passed on at once and as a whole.
    """

    def __init__(self, path: Path) -> None:
        """Take a path, or `-`; nothing is written, and no file made, before the first line."""
        self._path = path
        self._file: RawIOBase | None = None
        self._whole = 0  # bytes of whole lines

    def __enter__(self) -> PoseLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None and self._path != STDIO:
            self._file.close()

    def begin(self, predictions: Predictions, source: str, began: float) -> None:
        """Write the first line: joints, unit and provenance.

        Args:
            predictions: Any of the stream.
            source: Name of the stream.
            began: When its first frame arrived, in seconds since 1970.

        Raises:
            InputError: The file cannot be written.
        """
        started = datetime.fromtimestamp(began, timezone.utc).isoformat(timespec="milliseconds")
        self._put({"format": "epitool.live-poses/1", **described(predictions), "source": source, "started": started})

    def add(self, predictions: Predictions, values: dict[str, float]) -> None:
        """Write the line of a frame.

        Args:
            predictions: The pose in it, or none.
            values: What else is to be written; rounded to milliseconds.

        Raises:
            InputError: The file cannot be written.
        """
        pose = pose_values(predictions, 0) if predictions.images else dict.fromkeys(OF_POSE)
        self._put({key: round(value, 3) for key, value in values.items()} | pose)

    def _put(self, values: dict[str, Any]) -> None:
        line = json.dumps(values, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        if self._path == STDIO:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
            return
        try:
            if self._file is None:
                self._file = self._path.open("wb", buffering=0)
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._forget_part()
            raise InputError(f"cannot write {self._path}: {error.strerror or error}") from error
        self._whole += len(line)

    def _forget_part(self) -> None:
        """Remove what was written of the last line, as on a full disk; a pipe keeps it."""
        if self._file is not None and self._path.is_file():
            with suppress(OSError):
                os.truncate(self._path, self._whole)
