"""Pinhole cameras with OpenCV's axes and distortion, and rigs of several cameras.

The convention is `x_cam = R @ x_world + t` ("cam_from_world"), with x right, y down and z forward. Pixel centres are
at integer coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epitool.arrays import frozen_array, homogeneous
from epitool.console import named
from epitool.errors import InputError
from epitool.names import differing_parts, named_among, plain_name

Array = NDArray[np.float64]
IN_MM = {"mm": 1.0, "cm": 10.0, "m": 1000.0}  # units of length
LENS = 14  # most distortion coefficients that OpenCV uses


def undistort_pixels(xy: Array, K: Array, distortion: Array) -> Array:
    """Return pixels `(..., 2)` of a lens with OpenCV's coefficients as a pinhole with the same K would see them."""
    flat = np.ascontiguousarray(xy, dtype=float).reshape(-1, 1, 2)
    if not distortion.any() or not len(flat):
        return np.array(xy, dtype=float)
    import cv2  # here, because much that knows of cameras measures no image

    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-10)
    # OpenCV 4 takes the stopping criteria only in `undistortPointsIter`; OpenCV 5 takes them in `undistortPoints`
    undistort: Any = getattr(cv2, "undistortPointsIter", cv2.undistortPoints)
    ideal = undistort(flat, K, distortion, R=np.eye(3), P=K, criteria=stop)
    return np.asarray(ideal, dtype=float).reshape(np.shape(xy))


def centred_intrinsics(image_size: tuple[int, int], focal: float) -> Array:
    """Return K `(3, 3)` with square pixels and the principal point at the image centre.

    The centre is at (size - 1) / 2 because pixel centres are integers.

    >>> centred_intrinsics((640, 480), 500.0)[:, 2].tolist()
    [319.5, 239.5, 1.0]
    """
    width, height = image_size
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1.0]])


@dataclass(frozen=True, eq=False)
class Camera:
    """One calibrated view.

    Attributes:
        name: Name of the view.
        K: Intrinsics `(3, 3)` in pixels.
        distortion: OpenCV's coefficients (k1, k2, p1, p2, k3, ...); empty without distortion.
        R: Rotation `(3, 3)`, camera from world.
        t: Translation `(3,)`, camera from world, in the rig's unit. This is not the camera centre.
        image_size: (width, height) in pixels.
        time_offset: Number of frames by which this view's numbering is ahead of the first view's: frame f of the first
            view and frame f + time_offset of this view show the same moment.
    """

    name: str
    K: Array
    distortion: Array
    R: Array
    t: Array
    image_size: tuple[int, int]
    time_offset: float = 0.0

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "K", frozen_array(self.K, (3, 3), "K"))
        set_field(self, "distortion", frozen_array(np.ravel(self.distortion), (None,), "distortion"))
        set_field(self, "R", frozen_array(self.R, (3, 3), "R"))
        set_field(self, "t", frozen_array(np.ravel(self.t), (3,), "t"))
        set_field(self, "image_size", (int(self.image_size[0]), int(self.image_size[1])))
        if not np.allclose(self.R @ self.R.T, np.eye(3), atol=1e-5) or np.linalg.det(self.R) < 0:
            raise ValueError(f"camera {self.name}: R is not a rotation")

    @property
    def lens(self) -> Array:
        """Distortion padded to OpenCV's 14 coefficients, `(14,)`, so that lenses can be stacked."""
        return np.pad(self.distortion, (0, LENS - len(self.distortion)))

    @property
    def P(self) -> Array:
        """Projection matrix `(3, 4)` without distortion: K [R | t]."""
        return self.K @ np.column_stack([self.R, self.t])

    @property
    def center(self) -> Array:
        """Camera centre `(3,)` in the world."""
        return -self.R.T @ self.t

    @property
    def focal(self) -> float:
        """Mean of the two focal lengths in pixels."""
        return float(self.K[0, 0] + self.K[1, 1]) / 2

    def to_camera(self, xyz: Array) -> Array:
        """Transform world points `(..., 3)` to this camera's axes."""
        return xyz @ self.R.T + self.t

    def project(self, xyz: Array) -> Array:
        """Project world points `(..., 3)` to pixels `(..., 2)`, with distortion; NaN if not in front of the camera.

        >>> camera = Camera("a", [[500, 0, 320], [0, 500, 240], [0, 0, 1]], [], np.eye(3), [0, 0, 0], (640, 480))
        >>> camera.project(np.array([0.1, 0.0, 1.0])).tolist()
        [370.0, 240.0]
        """
        flat = self.to_camera(np.asarray(xyz, dtype=float)).reshape(-1, 3)
        flat = np.where(flat[:, 2:] > 0, flat, np.nan)
        if not self.distortion.any() or not len(flat):
            xy = flat[:, :2] / flat[:, 2:] * self.K.diagonal()[:2] + self.K[:2, 2]
        else:
            import cv2

            xy, _ = cv2.projectPoints(flat, np.zeros(3), np.zeros(3), self.K, self._cv_distortion)
        return np.asarray(xy, dtype=float).reshape(*np.shape(xyz)[:-1], 2)

    def undistort(self, xy: Array) -> Array:
        """Return pixels `(..., 2)` as an ideal pinhole with the same K would see them."""
        return undistort_pixels(xy, self.K, self.distortion)

    def normalize(self, xy: Array) -> Array:
        """Convert pixels `(..., 2)` to undistorted coordinates on the plane z = 1, `(..., 2)`."""
        return (homogeneous(self.undistort(xy)) @ np.linalg.inv(self.K).T)[..., :2]

    def unproject(self, xy: Array, depth: Array) -> Array:
        """Convert pixels `(..., 2)` at depths `(...)` along the optical axis to world points `(..., 3)`.

        >>> camera = Camera("a", [[500, 0, 320], [0, 500, 240], [0, 0, 1]], [], np.eye(3), [0, 0, 0], (640, 480))
        >>> camera.unproject(np.array([370.0, 240.0]), np.array(2.0)).round(9).tolist()
        [0.2, 0.0, 2.0]
        """
        in_camera = homogeneous(self.normalize(xy)) * np.asarray(depth)[..., None]
        return (in_camera - self.t) @ self.R

    def corners(self, depth: float) -> Array:
        """Return the world points `(4, 3)` that the corners of the image show at a depth, around the image."""
        right, bottom = (side - 1.0 for side in self.image_size)
        xy = np.array([[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]])
        return self.unproject(xy, np.full(4, depth))

    @property
    def _cv_distortion(self) -> Array:
        return self.distortion if self.distortion.size else np.zeros(5)


@dataclass(frozen=True, eq=False)
class Rig:
    """Cameras with a common world coordinate system.

    Attributes:
        cameras: Cameras in the order of the views.
        unit: "mm" or "arbitrary".
        scale_source: How metric scale was fixed, or "none".
        up: What the upward direction of the world's z axis is known from, such as "people"; "none" if it is not known.
    """

    cameras: tuple[Camera, ...]
    unit: str
    scale_source: str
    up: str = "none"

    def __post_init__(self) -> None:
        if self.unit not in ("mm", "arbitrary"):
            raise ValueError(f"unit '{self.unit}' is neither mm nor arbitrary")
        if len(set(self.names)) != len(self.cameras):
            raise ValueError("two cameras of a rig have the same name")

    def __len__(self) -> int:
        return len(self.cameras)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the cameras in order."""
        return tuple(camera.name for camera in self.cameras)

    def select(self, names: Sequence[str]) -> Rig:
        """Return a rig of the named cameras, in the given order.

        Raises:
            InputError: The rig lacks one of the cameras.
        """
        if missing := [name for name in names if name not in self.names]:
            raise InputError(f"no camera for {named('view', missing)}; the rig has {', '.join(self.names)}")
        return replace(self, cameras=tuple(self.cameras[self.names.index(name)] for name in names))

    def named_as(self, views: Sequence[str]) -> Rig:
        """Return the rig with its cameras renamed to the views that they match.

        Names match if they differ only in punctuation, case or leading zeros. If no name matches in this way, common
        beginnings and endings are ignored: cameras `port_0` and `port_1` match views `cam_0` and `cam_1`, but not
        `cam_1` and `cam_2`. Failing that, a camera matches the only view whose name contains the camera's name as
        whole words, or the reverse: camera `35441` matches view `trial1_Miqus_7_35441`. A camera without a match
        keeps its name, and the rig is returned unchanged if the result would be ambiguous.

        >>> cameras = [Camera(n, np.eye(3), [], np.eye(3), [0, 0, 0], (64, 64)) for n in ("Cam_01", "door")]
        >>> Rig(tuple(cameras), "mm", "none").named_as(["cam1", "cam2"]).names
        ('cam1', 'door')
        """
        spelled = {plain_name(view): view for view in views}
        plain = [plain_name(name) for name in self.names]
        if not set(plain) & spelled.keys():
            spelled, plain = dict(zip(differing_parts(views), views)), differing_parts(self.names)
            if set(plain) != spelled.keys() or "" in spelled:
                spelled, plain = {view: view for view in views}, named_among(self.names, views)
        names = [name if name in views else spelled.get(part, name) for name, part in zip(self.names, plain)]
        if len(spelled) < len(views) or len(set(names)) < len(names):
            return self  # ambiguous: the spellings that are dropped are needed to tell the names apart
        return replace(self, cameras=tuple(replace(c, name=name) for c, name in zip(self.cameras, names)))

    def to_cameras(self, xyz: Array) -> Array:
        """Transform world points `(F, J, 3)` to every camera's axes: `(F, V, J, 3)`."""
        return np.stack([camera.to_camera(xyz) for camera in self.cameras], axis=-3)

    def project(self, xyz: Array) -> Array:
        """Project world points `(F, J, 3)` to pixels in every view: `(F, V, J, 2)`."""
        return np.stack([camera.project(xyz) for camera in self.cameras], axis=-3)

    def project_own(self, in_cameras: Array) -> Array:
        """Project points in every camera's own axes `(F, V, J, 3)` to its pixels `(F, V, J, 2)`."""
        own = [replace(camera, R=np.eye(3), t=np.zeros(3)) for camera in self.cameras]
        return np.stack([camera.project(in_cameras[..., v, :, :]) for v, camera in enumerate(own)], axis=-3)

    def stacked(self, *names: str) -> tuple[Array, ...]:
        """Return the named attributes (R, t, K, P or center) stacked over the cameras, each `(V, ...)`."""
        return tuple(np.stack([getattr(camera, name) for camera in self.cameras]) for name in names)

    def undistort(self, xy: Array) -> Array:
        """Return pixels `(F, V, J, 2)` as ideal pinholes with the same K would see them."""
        return undistort_views(xy, self.cameras)

    def scaled(self, factor: float, unit: str, scale_source: str) -> Rig:
        """Return the rig with all lengths multiplied by `factor`."""
        cameras = tuple(replace(camera, t=camera.t * factor) for camera in self.cameras)
        return replace(self, cameras=cameras, unit=unit, scale_source=scale_source)


def undistort_views(xy: Array, cameras: Sequence[Camera]) -> Array:
    """Return pixels `(F, V, ..., 2)` as ideal pinholes with the same K as the cameras of the views would see them."""
    return np.stack([camera.undistort(xy[:, v]) for v, camera in enumerate(cameras)], axis=1)


@dataclass(frozen=True, eq=False)
class Window:
    """Moving cameras, as they were placed during a range of frames.

    Attributes:
        first: Number of the first frame.
        last: Number of the last frame.
        rig: Cameras of the window. The world is that of the first camera, separately in every window.
        statistics: How well the cameras are known, as plain values.
        name: Identifies the window, as the name of a take does.
        action: Action of the person in the window; "" if it is not known.
    """

    first: int
    last: int
    rig: Rig
    statistics: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    action: str = ""

    @property
    def verdict(self) -> str:
        """Verdict on the cameras when they were computed: "pass", "warn" or "fail"; "" if none is stated."""
        stated = self.statistics.get("verdict", "")
        return stated if stated in ("pass", "warn", "fail") else ""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Reasons for that verdict, one line each."""
        stated = self.statistics.get("reasons", ())
        return tuple(map(str, stated)) if isinstance(stated, list | tuple) else ()
