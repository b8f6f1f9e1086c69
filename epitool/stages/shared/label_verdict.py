"""What was thought of labels when they were made, heeded by whoever goes on from them."""

from __future__ import annotations

from pathlib import Path

from epitool.console import warn
from epitool.errors import GeometryError
from epitool.io.labels_h5 import LabelsFile, read_labels
from epitool.labels import Labels


def heed(path: Path, labels: Labels | LabelsFile) -> None:
    """Warns of labels that were doubted when they were made.

    Args:
        path: Their file.
        labels: What was read of it.

    Raises:
        GeometryError: They were found not to be trusted.
    """
    said = f"{path}: {{}} when they were made: {'; '.join(labels.reasons) or 'no reason is stated'}"
    if labels.verdict == "fail":
        raise GeometryError(said.format("these labels were found not to be trusted (verdict: fail)"))
    if labels.verdict == "warn":
        warn(said.format("these labels were found doubtful (verdict: warn)"))


def heeded_labels(path: Path) -> Labels:
    """Reads `labels.h5`, and warns where its labels were doubted.

    Raises:
        InputError: As `read_labels`.
        GeometryError: The labels were found not to be trusted.
    """
    labels = read_labels(path)
    heed(path, labels)
    return labels
