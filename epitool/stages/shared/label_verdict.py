"""Checks of the verdict that labels were given when they were made, for the commands that use them."""

from __future__ import annotations

from pathlib import Path

from epitool.console import warn
from epitool.errors import GeometryError
from epitool.io.labels_h5 import LabelsFile, read_labels
from epitool.io.people_h5 import FIRST
from epitool.labels import Labels
from epitool.stages.shared.doubts import first_of


def check_verdict(path: Path, labels: Labels | LabelsFile) -> None:
    """Warn in one line if labels have the verdict "warn".

    Args:
        path: File of the labels.
        labels: The labels, or the opened file.

    Raises:
        GeometryError: The labels have the verdict "fail".
    """
    person = labels.person if isinstance(labels, LabelsFile) else FIRST
    whose = "these labels" if person == FIRST else f"the labels of {person}"
    why = first_of(labels.reasons, f"`epitool show {path}`")
    if labels.verdict == "fail":
        raise GeometryError(f"{path}: {whose} were found not to be trusted (verdict: fail) when they were made: {why}")
    if labels.verdict == "warn":
        warn(f"{path}: {whose} were found doubtful (verdict: warn) when they were made: {why}")


def read_checked_labels(path: Path) -> Labels:
    """Read `labels.h5`, and warn if its labels have the verdict "warn".

    Raises:
        InputError: The file cannot be read; see `read_labels`.
        GeometryError: The labels have the verdict "fail".
    """
    labels = read_labels(path)
    check_verdict(path, labels)
    return labels
