"""Checks of the verdict that labels were given when they were made, for the commands that use them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from epitool.console import warn
from epitool.errors import GeometryError
from epitool.io.labels_h5 import LabelsFile
from epitool.labels import Labels
from epitool.stages.shared.doubts import select_first
from epitool.stages.shared.reported import is_reported


def check_verdicts(path: Path, people: list[LabelsFile]) -> None:
    """Warn in one line if anybody's labels have the verdict "warn".

    Args:
        path: File of the labels.
        people: The opened labels of the people.

    Raises:
        GeometryError: Somebody's labels have the verdict "fail".
    """
    for verdict, found in (("fail", "not to be trusted"), ("warn", "doubtful")):
        whose = [labels for labels in people if labels.verdict == verdict]
        if not whose:
            continue
        names = " and ".join(labels.person for labels in whose)
        whose_labels = f"the labels of {names}" if len(people) > 1 else "these labels"
        said = f"{path}: {whose_labels} were found {found} (verdict: {verdict}) when they were made: "
        said += select_first(reasons_for(verdict, people), f"`epitool show {path}`")
        if verdict == "fail":
            raise GeometryError(said)
        if not is_reported(path):
            warn(said)


def reasons_for(verdict: str, people: Sequence[LabelsFile | Labels]) -> tuple[str, ...]:
    """Return the reasons, each once, why the labels of some people have a verdict."""
    return tuple(dict.fromkeys(reason for one in people if one.verdict == verdict for reason in one.reasons))
