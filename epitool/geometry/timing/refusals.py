"""Refusal of recordings whose offsets in time cannot be determined, naming what explains their joints if clear."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.errors import GeometryError
from epitool.geometry.timing.offset_scan import CLEAR, explanation_beyond
from epitool.pose import Keypoints

Array = NDArray[np.float64]
Pair = tuple[int, int]


class OutOfReachError(GeometryError):
    """Error for an offset that seems to be larger than the searched range.

    Attributes:
        reach: Range in frames that has to be searched to find it.
    """

    def __init__(self, text: str, reach: int) -> None:
        super().__init__(text)
        self.reach = reach


def require_in_reach(scans: dict[Pair, Array], joints: list[Array], keypoints: Keypoints, reach: int) -> None:
    """Refuse views whose joints are explained only by an offset out of reach or by another frame rate.

    Raises:
        GeometryError: There is such a view.
    """
    within = slice(reach, 3 * reach + 1)  # scans cover offsets from -2 to 2 times the reach
    for (a, v), loss in scans.items():
        if a != 0 or np.nanmin(loss[within], initial=np.inf) <= np.nanmin(loss) + CLEAR:
            continue
        _refuse_what_is_beyond(v, joints, keypoints, reach)


def _refuse_what_is_beyond(v: int, joints: list[Array], keypoints: Keypoints, reach: int) -> None:
    """Refuse a view if it is clear what explains its joints although no offset within reach does.

    Raises:
        GeometryError: It is clear.
    """
    found = explanation_beyond(joints[0], joints[v], reach, keypoints.skeleton)
    name, first = keypoints.views[v], keypoints.views[0]
    if found and found.offset is not None:
        wanted = -(-(abs(found.offset) + 5) // 10) * 10  # a margin of some frames, rounded up to tens
        shared, frames = len(joints[0]) - abs(found.offset), len(joints[0])
        raise OutOfReachError(
            f"view {name} seems to be about {found.offset:+d} frames against {first}, with {shared} of {frames} frames"
            f" in common, and +-{reach} were looked for",
            wanted,
        )
    if found:
        raise GeometryError(
            f"view {name} seems to record {found.rate:.2f} times as many frames per second as {first}: record with"
            " equal frame rates, or convert the videos to one"
        )


def require_connected(pairs: list[Pair], joints: list[Array], keypoints: Keypoints, reach: int) -> None:
    """Refuse views whose offset to the first view cannot be determined, with the reason if it is known.

    Raises:
        GeometryError: There is such a view.
    """
    for v in unreached(pairs, len(keypoints.views)):
        name, first = keypoints.views[v], keypoints.views[0]
        _refuse_what_is_beyond(v, joints, keypoints, reach)
        raise GeometryError(
            f"no time offset within +-{reach} frames explains the joints of {first} and {name} better than "
            "others: the person hardly moves, the offset is larger, or the views share too few frames"
        )


def unreached(pairs: list[Pair], views: int) -> list[int]:
    """Return the views that no chain of pairs connects to the first."""
    reached = {0}
    for _ in range(views):
        reached |= {v for pair in pairs if reached & set(pair) for v in pair}
    return [v for v in range(views) if v not in reached]
