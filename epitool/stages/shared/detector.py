"""The detector that is named: one that is built in, or a checkpoint."""

from __future__ import annotations

from pathlib import Path

from epitool.detectors import BUILT_IN, Detector, open_detector


def open_any_detector(name: str, device: str) -> Detector:
    """A built-in detector by name, or a checkpoint of ours by path: the paper's frozen 2D branch."""
    if name not in BUILT_IN and (name.endswith((".pt", ".pth", ".tar")) or Path(name).is_file()):
        from epitool.nn.detector import CheckpointDetector

        return CheckpointDetector(Path(name), device)
    return open_detector(name, device)
