"""`epitool detect2d`: footage to `keypoints.h5`."""

from __future__ import annotations

from epitool.console import Summary
from epitool.options import Detect2dOptions
from epitool.stages.shared.detecting import detect


def run(options: Detect2dOptions) -> Summary:
    """As `detect`."""
    return detect(options)
