"""`epitool detect2d`: footage to `keypoints.h5`."""

from __future__ import annotations

from epitool.stages.shared.detecting import detect as run

__all__ = ["run"]
