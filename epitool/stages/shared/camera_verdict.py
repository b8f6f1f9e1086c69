"""The verdict that cameras were given when they were computed, for the commands whose results rest on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from epitool.camera import Window
from epitool.console import warn
from epitool.errors import GeometryError
from epitool.geometry.doubts import FOCAL, LEVELS, Level
from epitool.io.cameras import is_foreign, read_windows
from epitool.stages.shared.doubts import passed_on, select_first
from epitool.stages.shared.reported import is_reported

_UNSTATED, _REST = "no reason is stated", "their file has the others"
_LEVELS: tuple[Level, ...] = ("fail", "warn")


def read_inherited(windows: Sequence[Window], whose: str = "the cameras") -> list[tuple[Level, str]]:
    """Return the doubts, with their levels, that a camera file states of its own cameras.

    All doubts about single cameras become one. Files of other programs state none, and cameras with the verdict "pass"
    have none.

    Args:
        windows: Content of the file.
        whose: Words that every doubt begins with.
    """
    if len(windows) == 1:
        return [
            (level, f"{whose}: {reason}")
            for level in _LEVELS
            if windows[0].verdict == level
            for reason in passed_on(windows[0].reasons or (_UNSTATED,), _REST)
        ]
    found = []
    for level in _LEVELS:
        judged = [window for window in windows if window.verdict == level]
        if judged:
            reasons = select_first(judged[0].reasons, _REST)
            many = f"{len(judged)} of {len(windows)} windows of frames have the verdict {level}"
            found.append((level, f"{whose}: {many}, first frames {judged[0].first} to {judged[0].last}: {reasons}"))
    return found


def read_inherited_file(path: Path, whose: str) -> list[tuple[Level, str]]:
    """Return the doubts that a readable camera file or folder states of its own cameras, as `read_inherited` does."""
    return read_inherited(_judged_windows(path), whose)


def verdict_of(paths: Sequence[Path]) -> dict[str, Any]:
    """Return the verdict and its reasons that readable camera files state, as a camera file stores them."""
    stated = [window for path in paths for window in _judged_windows(path) if window.verdict]
    if not stated:
        return {}
    level = max((window.verdict for window in stated), key=LEVELS.index)
    return {"verdict": level, "reasons": [reason for window in stated for reason in window.reasons]}


def _judged_windows(path: Path) -> list[Window]:
    """Return the cameras of a file of epitool; files of other programs state no verdict, and need no second look."""
    return read_windows(path) if path.is_file() and not is_foreign(path) else []


def unsure_lenses(path: Path) -> list[tuple[Level, str]]:
    """Return a doubt for each camera of a readable file whose focal length was estimated and is uncertain."""
    doubts: list[tuple[Level, str]] = []
    for window in _judged_windows(path)[:1]:
        deviations = window.statistics.get("standard_deviations", {})
        shares = {name: deviations.get(name, {}).get("focal_share", 0.0) for name in window.rig.names}
        doubts += [
            ("warn", f"the lenses of {path.name}: the focal length of {name} was uncertain by {share:.0%}")
            for name, share in shares.items()
            if share >= FOCAL[0]
        ]
    return doubts


def heed_cameras(path: Path) -> None:
    """Warn if a readable camera file or folder states doubts about its own cameras.

    Raises:
        GeometryError: They have the verdict "fail".
    """
    doubts = read_inherited_file(path, f"{path}: these cameras were found doubtful when they were made")
    if any(level == "fail" for level, _ in doubts):
        raise GeometryError(" ".join(text for level, text in doubts if level == "fail"))
    for _, text in doubts if not is_reported(path) else ():
        warn(text)
