"""Checks of the verdict that labels were given when they were made, for the commands that use them."""

from __future__ import annotations

from pathlib import Path

from epitool.console import warn
from epitool.errors import GeometryError
from epitool.io.labels_h5 import LabelsFile
from epitool.io.people_h5 import FIRST
from epitool.stages.shared.doubts import first_of


def check_verdict(path: Path, labels: LabelsFile) -> None:
    """Warn in one line if labels have the verdict "warn".

    Args:
        path: File of the labels.
        labels: The opened file, of one person.

    Raises:
        GeometryError: The labels have the verdict "fail".
    """
    whose = "these labels" if labels.person == FIRST else f"the labels of {labels.person}"
    why = first_of(labels.reasons, f"`epitool show {path}`")
    if labels.verdict == "fail":
        raise GeometryError(f"{path}: {whose} were found not to be trusted (verdict: fail) when they were made: {why}")
    if labels.verdict == "warn":
        warn(f"{path}: {whose} were found doubtful (verdict: warn) when they were made: {why}")
