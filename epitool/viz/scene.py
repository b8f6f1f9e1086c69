"""Content of a page or of a recording for the Rerun viewer."""

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
    """N detections of people other than the chosen one; F frames, V views, J joints.

    Attributes:
        xy: Joints `(N, J, 2)` px; NaN where missing.
        cell: Frame index times V plus view index of each detection, `(N,)`, in increasing order.
        number: Number of each person from 1, `(N,)`, which stays the same over the frames of a view.
        chosen: Number of the chosen person, `(F, V)`; 0 where nobody is chosen.
    """

    xy: Array
    cell: NDArray[np.intp]
    number: NDArray[np.intp]
    chosen: NDArray[np.intp]

    def select_cell(self, cell: int) -> slice:
        """Return the slice of the detections in one frame and view."""
        return slice(*np.searchsorted(self.cell, [cell, cell + 1]).tolist())


@dataclass(frozen=True, eq=False)
class Person:
    """One person in F frames, V views and J joints; NaN where joints are missing, as in frames without the person.

    Attributes:
        name: Name of the person; "" if there is one person only.
        xyz: Joints in the world `(F, J, 3)`, or None.
        xy: Detected 2D joints, `(F, V, J, 2)` px, or None.
        own: Pose projected by the cameras, `(F, V, J, 2)` px, or None.
    """

    name: str = ""
    xyz: Array | None = None
    xy: Array | None = None
    own: Array | None = None


@dataclass(frozen=True, eq=False)
class Scene:
    """Poses, cameras and images to show; F frames, V views, J joints.

    Attributes:
        title: Title of the page.
        facts: Line beside the title.
        skeleton: Skeleton of the joints.
        frames: Frame numbers `(F,)`.
        people: The people, the one who is seen most first; empty if only cameras are shown.
        up: Upward direction in the world `(3,)`.
        rigs: Cameras of every take; empty if they are not known.
        take_of: Index of each frame's take, `(F,)`.
        views: Names of the V views.
        sizes: (width, height) of the images, `(F, V, 2)`.
        images: Small JPEGs by (frame index, view index), as made by `small_jpeg`.
        fps: Frames per second of playback.
        real_time: Whether playback is as fast as the recording.
        unit: Unit of the world: "mm", "arbitrary", or "" if nothing is in space.
        names: (path, camera, frame number or None) of each frame, if every frame is a separate image.
        crowd: Other people who were found in the images, but are not followed; None if there are none.
    """

    title: str
    facts: str
    skeleton: Skeleton
    frames: NDArray[np.int64]
    people: tuple[Person, ...] = ()
    up: Array = field(default_factory=lambda: np.array([0.0, 0.0, 1.0]))
    rigs: tuple[Rig, ...] = ()
    take_of: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    views: tuple[str, ...] = ()
    sizes: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 0, 2), dtype=np.int64))
    images: dict[tuple[int, int], bytes] = field(default_factory=dict)
    fps: float = _PLAYED_FPS
    real_time: bool = False
    unit: str = ""
    names: tuple[tuple[str, str, int | None], ...] = ()
    crowd: Crowd | None = None

    @property
    def xyz(self) -> Array | None:
        """Joints of all N people in the world, `(F, N * J, 3)`; None if nobody is in space."""
        placed = [person.xyz for person in self.people if person.xyz is not None]
        return np.concatenate(placed, axis=1) if placed else None
