"""Frozen 2D joint detectors, which find the joints of the people in an RGB image.

To add one, write a module here that has a `finding.Detector`, and give it a line in `DETECTORS`. The command line, its
help and `epitool doctor` need nothing else, and no detector is imported before it is opened.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from epitool.errors import UsageError

if TYPE_CHECKING:
    from epitool.detectors.finding import Detector


@dataclass(frozen=True)
class Entry:
    """Location of a detector, and its requirements.

    Attributes:
        opener: `module:name` in this package; called with the device, it returns the detector.
        extra: Extra of epitool that installs what the detector imports; None if nothing more is needed.
        imports: Modules that the extra installs.
        remark: Remark on the extra.
        cpu_only: Whether it computes on the processor, whatever device is asked for.
    """

    opener: str
    extra: str | None = None
    imports: tuple[str, ...] = ()
    remark: str = ""
    cpu_only: bool = False

    @property
    def installed(self) -> bool:
        """Whether all modules that it imports can be found."""
        return all(importlib.util.find_spec(module) for module in self.imports)

    @property
    def remedy(self) -> str:
        """How to install what it needs."""
        return f"`pip install 'epitool{f'[{self.extra}]' if self.extra else ''}'`{self.remark}"


DETECTORS: Mapping[str, Entry] = {
    "mediapipe": Entry("blazepose:BlazePose", "mediapipe", ("mediapipe",), " (Python up to 3.12)", cpu_only=True),
    "keypointrcnn": Entry("keypointrcnn:KeypointRCNN"),
    "rtmpose": Entry("rtm:body_with_feet", "rtmpose", ("rtmlib", "onnxruntime")),
    "rtmo": Entry("rtm:OneStage", "rtmpose", ("rtmlib", "onnxruntime")),
    "wholebody": Entry("rtm:whole_body", "rtmpose", ("rtmlib", "onnxruntime")),
}
DEFAULT = "mediapipe"
_CHECKPOINT = Entry("checkpoint:CheckpointDetector")
_CHECKPOINTS = (".pt", ".pth", ".tar", ".onnx")


def default_detector() -> str | None:
    """Return the name of the default detector, or None if it is not installed."""
    return DEFAULT if DETECTORS[DEFAULT].installed else None


def known_detector(name: str | None) -> str | None:
    """Return the name if it is that of a detector or the path of a checkpoint; None stands for the default.

    Raises:
        UsageError: It is neither.
    """
    if name is None or name in DETECTORS or _is_path(name):
        return name
    words = {known: known for known in DETECTORS}
    for known, entry in DETECTORS.items():  # users may give the name of its module
        words.setdefault(entry.opener.partition(":")[0], known)
    near = difflib.get_close_matches(name.lower(), words, n=1)
    hint = f"; did you mean {words[near[0]]}?" if near else ";"
    raise UsageError(
        f"no detector is named '{name}'{hint} known are {', '.join(DETECTORS)} and paths of checkpoints (.pt, .onnx)"
    )


def open_detector(name: str | None, device: str = "cpu") -> Detector:
    """Open a detector of the table by name, or a checkpoint by path; None stands for the default.

    Raises:
        UsageError: It is unknown or not installed, or its weights cannot be obtained.
        InputError: There is no such checkpoint.
        CheckpointError: Its weights cannot be used.
    """
    name = known_detector(name) or default_detector()
    if name is None:
        first = DETECTORS[DEFAULT].remedy
        raise UsageError(
            f"no 2D detector is installed; install one with {first}, or choose the detector keypointrcnn, another of"
            f" {', '.join(DETECTORS)}, or a checkpoint of your own"
        )
    module, _, opener = DETECTORS.get(name, _CHECKPOINT).opener.partition(":")
    if name not in DETECTORS:
        return getattr(importlib.import_module(f"{__name__}.{module}"), opener)(Path(name), device)
    try:
        return getattr(importlib.import_module(f"{__name__}.{module}"), opener)(device)
    except ImportError as error:
        raise UsageError(f"detector {name}: {error}; install it with {DETECTORS[name].remedy}") from None


def _is_path(name: str) -> bool:
    path = Path(name)
    return path.suffix in _CHECKPOINTS or path.name != name or path.is_file()
