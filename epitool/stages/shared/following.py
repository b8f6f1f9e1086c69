"""Who is followed from image to image of a video or stream that may show several people."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from epitool.arrays import mean_known
from epitool.nn.times import Moment

Array = NDArray[np.float64]
_MOVED, _MOVED_PER_S = 0.1, 1.0  # box sides by which somebody's joints move, on average, beside others
_NEVER = Moment(-1, 0.0)


class Following:
    """What was seen a moment ago in a video or stream, and the person who is followed through it.

    That is the one seen best at first, and again once they are lost: a detector may take now one of two people and now
    the other. As long as a video has shown one person at a time, it is them, however far they move.

    Attributes:
        before: Whom the detectors look for where they were, in the image before and in its mirror image.
    """

    def __init__(self, order: NDArray[np.intp]) -> None:
        """Take the order of joints in which left and right are exchanged."""
        self._order = order
        self._image, self._seen = _NEVER, _NEVER  # when the image before was taken, and when they were seen last
        self._xy = np.empty(0)
        self._crowded = set[int]()  # videos that have shown several people
        self.before: tuple[Any, Any] = None, None

    def begin(self, now: Moment) -> None:
        """Begin with an image; nobody is looked for where they were if it does not follow closely."""
        if not np.isfinite(self._image.until(now)):
            self.before = None, None
        self._image = now

    def choose(self, xy: Array, side: Array) -> int | None:
        """Return which of the people in the image, the best seen first, is followed; None if none of them.

        Args:
            xy: Joints of the people `(P, J, 2)`, px.
            side: Sides of the boxes around them, `(P,)` px.
        """
        if not len(xy):
            return None
        if len(xy) > 1:
            self._crowded.add(self._image.sequence)
        which, gap = 0, self._seen.until(self._image)
        if np.isfinite(gap) and self._image.sequence in self._crowded:
            moved = np.nan_to_num(self._distances(xy) / side, nan=np.inf, posinf=np.inf)
            which = int(moved.argmin())
            if moved[which] > _MOVED + _MOVED_PER_S * gap:
                return None
        self._seen, self._xy = self._image, xy[which]
        return which

    def _distances(self, xy: Array) -> Array:
        """Return how far the joints of people are from where they were, on average, `(P,)`; infinite if none is known.

        The detector may have exchanged their sides.
        """
        off = np.linalg.norm(xy[:, [np.arange(xy.shape[1]), self._order]] - self._xy, axis=-1)
        return np.nan_to_num(mean_known(off, axis=-1), nan=np.inf).min(axis=-1)
