"""`epitool detect2d`: detects people in footage and writes `keypoints.h5`."""

from __future__ import annotations

from epitool.console import Summary
from epitool.options import Detect2dOptions
from epitool.stages.shared.detecting import detect


def run(options: Detect2dOptions) -> Summary:
    """Run `detect`."""
    return detect(options)
