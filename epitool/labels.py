"""Labels: world poses with their keypoints and cameras, for one recording or for many takes.

Axes: F frames, V views, J joints, as in `pose`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from epitool.arrays import frozen_array
from epitool.camera import LENS, Array, Rig
from epitool.pose import BOX_MARGIN, Keypoints, Poses, square_boxes
from epitool.skeleton import Skeleton, skeleton

H36M = skeleton("h36m17")


def covariance_matrices(entries: Array) -> Array:
    """Return covariance matrices `(..., 3, 3)` from their entries `(..., 6)`, ordered as in `Labels.covariance`."""
    return entries[..., [0, 1, 2, 1, 3, 4, 2, 4, 5]].reshape(*entries.shape[:-1], 3, 3)


def covariance_entries(matrices: Array) -> Array:
    """Return the entries `(..., 6)` of covariance matrices `(..., 3, 3)`, ordered as in `Labels.covariance`."""
    return matrices[(..., *np.triu_indices(3))]


@dataclass(frozen=True, eq=False)
class Take:
    """Frames during which the cameras do not move: one of several recordings, or a window of a recording.

    Attributes:
        name: Identifies the take, for example "S9 Directions 1".
        rig: Cameras of the take. Their names are the same in all takes.
        action: Action of the person; "" if it is not known.
    """

    name: str
    rig: Rig
    action: str = ""


@dataclass(frozen=True, eq=False)
class Further:
    """Joints that a detector found but labels lack, such as feet; they are not used in training, but exported.

    Attributes:
        poses: World poses of F frames.
        covariance: Covariance of the poses, `(F, J, 6)`, ordered as `Labels.covariance`.
    """

    poses: Poses
    covariance: Array

    @property
    def joints(self) -> tuple[str, ...]:
        """Names of the joints."""
        return self.poses.skeleton.joints


@dataclass(frozen=True, eq=False)
class Labels:
    """Everything that training needs besides the images.

    Attributes:
        poses: World poses of F frames.
        keypoints: 2D joints of the same frames and skeleton, from which the poses were computed, with swaps undone.
        rig: The cameras; those of the first take if there are several.
        reprojection_px: Reprojection error: distance of the projected joints, with the lens's distortion, from the
            keypoints in the image, `(F, V, J)` px.
        swapped: Whether the detector had exchanged left and right, `(F, V)`.
        covariance: Covariance of the world poses, `(F, J, 6)`: xx, xy, xz, yy, yz, zz in squared units; NaN where not
            known. All NaN by default.
        used: Whether each keypoint was used for the pose, `(F, V, J)`. By default, all keypoints present whose joint
            has a 3D position.
        takes: The takes that `keypoints.take_of` refers to; empty for one recording with cameras that do not move.
        verdict: Quality of the labels: "pass", "warn" or "fail"; "" if they have not been checked.
        reasons: Reasons for the verdict, one line each.
        smoothed: How the poses were smoothed over time; "" if they are as measured.
    """

    poses: Poses
    keypoints: Keypoints
    rig: Rig
    reprojection_px: Array
    swapped: NDArray[np.bool_]
    covariance: Array = field(default_factory=lambda: np.empty(0))
    used: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=np.bool_))
    takes: tuple[Take, ...] = ()
    verdict: str = ""
    reasons: tuple[str, ...] = ()
    smoothed: str = ""

    def __post_init__(self) -> None:
        f, v, j = self.keypoints.xy.shape[:3]
        if self.poses.xyz.shape[:2] != (f, j) or self.poses.skeleton != self.keypoints.skeleton:
            raise ValueError("poses and keypoints have other frames or joints")
        if any(rig.names != self.keypoints.views for rig in self.rigs):
            raise ValueError("rig and keypoints have other views")
        number = self.keypoints.take_of
        if f and not 0 <= number.min() <= number.max() < len(self.rigs):
            raise ValueError(f"frames of take {number.max()}, but there are {len(self.rigs)}")
        covariance = self.covariance if self.covariance.size else np.full((f, j, 6), np.nan)
        used = self.used if self.used.size else self.keypoints.seen & np.isfinite(self.poses.xyz[:, None, :, 0])
        set_field = object.__setattr__
        set_field(self, "reprojection_px", frozen_array(self.reprojection_px, (f, v, j), "reprojection_px"))
        set_field(self, "swapped", frozen_array(self.swapped, (f, v), "swapped", np.bool_))
        set_field(self, "covariance", frozen_array(covariance, (f, j, 6), "covariance"))
        set_field(self, "used", frozen_array(used, (f, v, j), "used", np.bool_))

    @property
    def rigs(self) -> tuple[Rig, ...]:
        """Cameras of every take."""
        return tuple(take.rig for take in self.takes) or (self.rig,)

    def between(self, start: int, stop: int) -> Labels:
        """Return the labels of the frames from index `start` up to, but not including, `stop`.

        A stated split stays that of the recording, and `parts` of the result has no meaning then.
        """
        part = slice(start, stop)
        poses = {name: getattr(self.poses, name)[part] for name in ("xyz", "confidence", "frames")}
        names = ("reprojection_px", "swapped", "covariance", "used")
        return replace(
            self,
            poses=replace(self.poses, **poses),
            keypoints=self.keypoints.select_frames(np.arange(len(self.poses.frames))[part]),
            **{name: getattr(self, name)[part] for name in names},
        )

    @property
    def in_cameras(self) -> Array:
        """Poses in every camera's axes, `(F, V, J, 3)`."""
        return self._evaluate_takes(
            lambda rig, part: rig.to_cameras(self.poses.xyz[part]), (len(self.poses.skeleton), 3)
        )

    def project_own(self, in_cameras: Array) -> Array:
        """Project points in every camera's own axes `(F, V, J, 3)` to its pixels `(F, V, J, 2)`."""
        return self._evaluate_takes(lambda rig, part: rig.project_own(in_cameras[part]), (in_cameras.shape[2], 2))

    @property
    def undistorted(self) -> Array:
        """Keypoints as ideal pinholes with the same K would see them, `(F, V, J, 2)` px."""
        shape = self.keypoints.xy.shape[2:]
        return self._evaluate_takes(lambda rig, part: rig.undistort(self.keypoints.xy[part]), shape)

    def boxes(self, margin: float = BOX_MARGIN) -> Array:
        """Return square boxes `(F, V, 4)` px around the keypoints in `used`; NaN with fewer than two of them."""
        return square_boxes(np.where(self.used[..., None], self.keypoints.xy, np.nan), margin)

    @property
    def intrinsics(self) -> Array:
        """Camera matrix K of every frame and view, `(F, V, 3, 3)`."""
        return self._evaluate_takes(lambda rig, _: np.stack([camera.K for camera in rig.cameras]), (3, 3))

    @property
    def lenses(self) -> Array:
        """OpenCV's distortion coefficients of every frame and view, `(F, V, 14)`."""
        return self._evaluate_takes(lambda rig, _: np.stack([camera.lens for camera in rig.cameras]), (LENS,))

    @property
    def image_sizes(self) -> NDArray[np.int64]:
        """Image size (width, height) of every frame and view, `(F, V, 2)`."""
        if not self.takes:
            return np.tile(self.keypoints.image_size, (len(self.poses.frames), 1, 1))
        sizes = self._evaluate_takes(lambda rig, _: np.stack([camera.image_size for camera in rig.cameras]), (2,))
        return sizes.astype(np.int64)

    @property
    def parts(self) -> dict[str, NDArray[np.intp]]:
        """Frame indices `(n,)` of the parts, as returned by `split_frames`."""
        return split_frames(len(self.poses.frames), self.keypoints.split)

    def _evaluate_takes(self, get: Callable[[Rig, NDArray[np.intp]], Array], shape: tuple[int, ...]) -> Array:
        """Evaluate `get` for the rig and frame indices of every take, and return the results as `(F, V, *shape)`."""
        out = np.empty((*self.keypoints.xy.shape[:2], *shape))
        for rig, part in self._parts():
            out[part] = get(rig, part)
        return out

    def _parts(self) -> Iterator[tuple[Rig, NDArray[np.intp]]]:
        for number in np.unique(self.keypoints.take_of):
            yield self.rigs[number], np.flatnonzero(self.keypoints.take_of == number)

    @property
    def recording_id(self) -> str:
        """Identifier of the recording: a digest of its frames, views and image names."""
        digest = RecordingDigest(self.keypoints.frames, self.keypoints.views)
        digest.add(self.keypoints.images)
        return digest.value


class RecordingDigest:
    """Identifier of a recording, updated as image names are added.

    Args:
        frames: All frame numbers of the recording, `(F,)`.
        views: Names of the V views.
    """

    def __init__(self, frames: NDArray[np.int64], views: Sequence[str]) -> None:
        self._hash = hashlib.sha256("\n".join([*map(str, frames.tolist()), *views]).encode())

    def add(self, images: NDArray[np.str_]) -> None:
        """Add the image names `(N, V)` of the next N frames, without their folders."""
        names = [image.replace("\\", "/").rpartition("/")[2] for image in images.ravel().tolist()]
        self._hash.update("\n".join(["", *names]).encode())

    @property
    def value(self) -> str:
        """Digest of everything added so far, 16 hexadecimal digits."""
        return self._hash.hexdigest()[:16]


def labels_of(
    xyz: Array, rig: Rig, images: NDArray[np.str_] | None = None, body: Skeleton = H36M,
    frames: NDArray[np.int64] | None = None,
) -> Labels:  # fmt: skip
    """Return exact labels of a motion seen by a rig.

    Args:
        xyz: Joints `(F, J, 3)` in the rig's world.
        rig: The cameras.
        images: Image names `(F, V)`; "" everywhere by default.
        body: Skeleton of the joints.
        frames: Frame numbers `(F,)`; 0, 1, 2, ... by default.

    Returns:
        The motion as poses, and their projections with confidence 1, or 0 outside the image. Occlusion by the body is
        ignored.
    """
    shape, xy = (len(xyz), len(rig)), rig.project(xyz)
    frames = np.arange(len(xyz)) if frames is None else frames
    images = np.full(shape, "") if images is None else images
    sizes = np.array([camera.image_size for camera in rig.cameras])
    inside = ((xy >= 0) & (xy <= sizes[:, None] - 1)).all(axis=-1)
    return Labels(
        poses=Poses(xyz, np.ones(xyz.shape[:2]), frames, body, rig.unit, "world"),
        keypoints=Keypoints(xy, inside.astype(float), frames, rig.names, images, sizes, body),
        rig=rig,
        reprojection_px=np.zeros(inside.shape),
        swapped=np.zeros(shape, dtype=bool),
    )


def usual_split(count: int) -> tuple[int, int]:
    """Return the split of a recording that states none, as in `Keypoints.split`."""
    return round(count * 0.70), round(count * 0.85)


def split_frames(count: int, split: tuple[int, int] | None = None) -> dict[str, NDArray[np.intp]]:
    """Return the frame indices of the contiguous parts for training, validation and test, and of all frames.

    Without a stated split, the parts are the first 70%, the next 15% and the last 15%. A random split would test on
    frames that look almost the same as neighbouring training frames.

    Args:
        count: Number of frames.
        split: Stated split, as in `Keypoints.split`.

    >>> {part: len(indices) for part, indices in split_frames(100).items()}
    {'train': 70, 'val': 15, 'test': 15, 'all': 100}
    """
    first, second = split or usual_split(count)
    every = np.arange(count)
    return {"train": every[:first], "val": every[first:second], "test": every[second:], "all": every}
