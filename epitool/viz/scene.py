"""What a page, or a recording for the Rerun viewer, shows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
_PLAYED_FPS = 30.0


@dataclass(frozen=True, eq=False)
class Crowd:
    """All the people that were found besides the one chosen, N of them; F frames, V views, J joints.

    Attributes:
        xy: Their joints `(N, J, 2)` px; NaN where missing.
        cell: Frame index times V plus view index of each, `(N,)`, in order.
        number: What each is called, `(N,)`: the same from frame to frame of a view, from 1.
        chosen: What the one chosen is called, `(F, V)`; 0 where nobody is.
    """

    xy: Array
    cell: NDArray[np.intp]
    number: NDArray[np.intp]
    chosen: NDArray[np.intp]

    def in_cell(self, cell: int) -> slice:
        """Those of one frame and view."""
        return slice(*np.searchsorted(self.cell, [cell, cell + 1]).tolist())


@dataclass(frozen=True, eq=False)
class Scene:
    """What is shown; F frames, V views, J joints.

    Attributes:
        title: Of the page.
        facts: A line beside it.
        skeleton: Of the joints.
        frames: Their numbers `(F,)`.
        xyz: Joints in the world `(F, J, 3)`, or None.
        up: Direction in the world `(3,)`.
        rigs: The cameras of every take; none where they are not known.
        take_of: Which of them each frame has, `(F,)`.
        views: Names of the V views.
        xy: 2D joints that were found, `(F, V, J, 2)`, or None.
        own: Where the cameras see the pose, `(F, V, J, 2)`, or None.
        sizes: (width, height) of the images, `(F, V, 2)`.
        images: Small JPEGs by (frame index, view index), as `small_jpeg` makes them.
        fps: Frames per second, when they are played.
        real_time: Whether that is as fast as they were filmed.
        unit: Of the world: "mm", "arbitrary", or "" where nothing is in space.
        names: What each frame is, where every one is an image of its own: (path, camera, frame number or None).
        crowd: Other people, where any were found.
    """

    title: str
    facts: str
    skeleton: Skeleton
    frames: NDArray[np.int64]
    xyz: Array | None = None
    up: Array = field(default_factory=lambda: np.array([0.0, 0.0, 1.0]))
    rigs: tuple[Rig, ...] = ()
    take_of: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    views: tuple[str, ...] = ()
    xy: Array | None = None
    own: Array | None = None
    sizes: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 0, 2), dtype=np.int64))
    images: dict[tuple[int, int], bytes] = field(default_factory=dict)
    fps: float = _PLAYED_FPS
    real_time: bool = False
    unit: str = ""
    names: tuple[tuple[str, str, int | None], ...] = ()
    crowd: Crowd | None = None
