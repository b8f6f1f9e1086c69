"""Checks of the verdict that labels were given when they were made, for the commands that use them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from epitool.console import warn
from epitool.errors import GeometryError
from epitool.io.labels_h5 import LabelsFile, read_labels
from epitool.io.people_h5 import FIRST
from epitool.labels import Labels


def check_verdict(path: Path, labels: Labels | LabelsFile) -> None:
    """Warn if labels have the verdict "warn".

    Args:
        path: File of the labels.
        labels: The labels, or the opened file.

    Raises:
        GeometryError: The labels have the verdict "fail".
    """
    person = labels.person if isinstance(labels, LabelsFile) else FIRST
    whose = "these labels" if person == FIRST else f"the labels of {person}"
    said = f"{path}: {whose} were found {{}} when they were made: {in_short(labels.reasons)}"
    if labels.verdict == "fail":
        raise GeometryError(said.format("not to be trusted (verdict: fail)"))
    if labels.verdict == "warn":
        warn(said.format("doubtful (verdict: warn)"))


def in_short(reasons: Sequence[str]) -> str:
    """Return the first reason, which is the worst, and how many more there are, as each camera may have one.

    >>> in_short(["cam1 is uncertain", "cam2 is uncertain", "cam3 is uncertain"])
    'cam1 is uncertain (and 2 more reasons)'
    """
    more = f" (and {len(reasons) - 1} more reason{'s' * (len(reasons) > 2)})" if len(reasons) > 1 else ""
    return (reasons[0] if len(reasons) else "no reason is stated") + more


def read_checked_labels(path: Path) -> Labels:
    """Read `labels.h5`, and warn if its labels have the verdict "warn".

    Raises:
        InputError: The file cannot be read; see `read_labels`.
        GeometryError: The labels have the verdict "fail".
    """
    labels = read_labels(path)
    check_verdict(path, labels)
    return labels
