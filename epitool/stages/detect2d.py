"""`epitool detect2d`: footage to `keypoints.h5`."""

from __future__ import annotations

from typing import Any

from epitool.console import Summary
from epitool.stages.shared.detecting import detect


def run(**options: Any) -> Summary:
    """As `detect`."""
    return detect(**options)
