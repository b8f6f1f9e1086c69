"""Checks of the verdict that labels were given when they were made, for the commands that use them."""

from __future__ import annotations

from pathlib import Path

from epitool.console import warn
from epitool.errors import GeometryError
from epitool.io.labels_h5 import LabelsFile, read_labels
from epitool.labels import Labels
from epitool.stages.shared.doubts import first_of
from epitool.stages.shared.reported import is_reported


def check_verdict(path: Path, labels: Labels) -> None:
    """Warn in one line if labels have the verdict "warn".

    Args:
        path: File of the labels.
        labels: The labels.

    Raises:
        GeometryError: The labels have the verdict "fail".
    """
    _check(path, {"these labels": labels})


def check_verdicts(path: Path, people: list[LabelsFile]) -> None:
    """Warn in one line if anybody's labels have the verdict "warn".

    Args:
        path: File of the labels.
        people: The opened labels of the people.

    Raises:
        GeometryError: Somebody's labels have the verdict "fail".
    """
    _check(path, {labels.person if len(people) > 1 else "these labels": labels for labels in people})


def _check(path: Path, people: dict[str, Labels] | dict[str, LabelsFile]) -> None:
    for verdict, found in (("fail", "not to be trusted"), ("warn", "doubtful")):
        whose = [name for name, labels in people.items() if labels.verdict == verdict]
        if not whose:
            continue
        labels = f"the labels of {' and '.join(whose)}" if len(people) > 1 else whose[0]
        reasons = dict.fromkeys(reason for name in whose for reason in people[name].reasons)
        said = f"{path}: {labels} were found {found} (verdict: {verdict}) when they were made: "
        said += first_of(list(reasons), f"`epitool show {path}`")
        if verdict == "fail":
            raise GeometryError(said)
        if not is_reported(path):
            warn(said)


def read_checked_labels(path: Path) -> Labels:
    """Read `labels.h5`, and warn if its labels have the verdict "warn".

    Raises:
        InputError: The file cannot be read; see `read_labels`.
        GeometryError: The labels have the verdict "fail".
    """
    labels = read_labels(path)
    check_verdict(path, labels)
    return labels
