"""Recording of a scene for the Rerun viewer (extra `[rerun]`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera
from epitool.errors import UsageError
from epitool.files import writing
from epitool.skeleton import Skeleton
from epitool.viz.colors import SIDE_COLORS, Color, bone_side, colors_of, joint_side
from epitool.viz.level import level_axes

if TYPE_CHECKING:
    from epitool.viz.scene import Scene

Array = NDArray[np.float64]


def write_recording(path: Path, scene: Scene) -> None:
    """Write poses, cameras, images and 2D joints over the frames as `.rrd`, atomically.

    Raises:
        UsageError: The extra `[rerun]` is not installed.
        InputError: The file cannot be written.
    """
    try:
        import rerun
    except ImportError as error:
        raise UsageError(f"a .rrd needs Rerun ({error}): pip install 'epitool[rerun]'") from None

    with writing(path) as temporary:
        stream = rerun.RecordingStream("epitool")
        stream.save(temporary)
        stream.log("world", rerun.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        for f, number in enumerate(scene.frames.tolist()):
            stream.set_time("frame", sequence=number)
            _log_frame(rerun, stream, scene, f)
        if not len(scene.frames):
            _log_cameras(rerun, stream, scene, 0, None)
        stream.flush()
        del stream


def _log_frame(rerun: Any, stream: Any, scene: Scene, f: int) -> None:
    take = int(scene.take_of[f]) if len(scene.take_of) else 0
    if scene.rigs and (f == 0 or take != scene.take_of[f - 1]):
        _log_cameras(rerun, stream, scene, take, f)
    several = len(scene.people) > 1
    colors = colors_of(len(scene.people)) if several else [None]
    for person, color in zip(scene.people, colors):
        if person.xyz is not None:
            place = f"world/{person.name or 'person'}"
            turned = person.xyz[f] @ level_axes(scene.up).T
            _log_pose(stream, place, turned, scene.skeleton, rerun.Points3D, rerun.LineStrips3D, color)
    for v, view in enumerate(scene.views):
        jpeg, place = scene.images.get((f, v)), f"world/{view}"
        scale = _size(jpeg)[0] / scene.sizes[f, v, 0] if jpeg else 1.0
        if jpeg:
            stream.log(place, rerun.EncodedImage(contents=jpeg, media_type="image/jpeg"))
        for person, color in zip(scene.people, colors):
            of_one = f"{place}/{person.name}" if several else place
            for name, points in (("detected", person.xy), ("reprojected", person.own)):
                if points is not None:
                    _log_pose(
                        stream, f"{of_one}/{name}", points[f, v] * scale, scene.skeleton, rerun.Points2D,
                        rerun.LineStrips2D, color,
                    )  # fmt: skip


def _log_pose(
    stream: Any, place: str, joints: Array, body: Skeleton, points: Any, strips: Any, color: Color | None
) -> None:
    """Log joints and bones in one colour, or in those of the body's sides."""
    known = np.isfinite(joints).all(axis=-1)
    colors = [color or SIDE_COLORS[joint_side(joint)] for joint, there in zip(body.joints, known) if there]
    names = [joint for joint, there in zip(body.joints, known) if there]
    bones = [bone for bone in body.bones if known[list(bone)].all()]
    stream.log(f"{place}/joints", points(joints[known], colors=colors, labels=names, show_labels=False))
    lines = joints[np.array(bones, dtype=int).reshape(-1, 2)]
    stream.log(f"{place}/bones", strips(lines, colors=[color or SIDE_COLORS[bone_side(body, bone)] for bone in bones]))


def _log_cameras(rerun: Any, stream: Any, scene: Scene, take: int, f: int | None) -> None:
    turn = level_axes(scene.up)
    for v, camera in enumerate(scene.rigs[take].cameras):
        jpeg = None if f is None else scene.images.get((f, v))
        size = _size(jpeg) if jpeg else camera.image_size
        place = f"world/{camera.name}"
        stream.log(
            place, rerun.Transform3D(translation=turn @ camera.center, mat3x3=turn @ camera.R.T), static=f is None
        )
        stream.log(place, _pinhole(rerun, camera, size), static=f is None)


def _pinhole(rerun: Any, camera: Camera, size: tuple[int, int]) -> Any:
    """Return a pinhole for images of the given size, without distortion, which Rerun does not support."""
    scale = np.array([size[0] / camera.image_size[0], size[1] / camera.image_size[1], 1.0])
    return rerun.Pinhole(image_from_camera=camera.K * scale[:, None], resolution=size)


def _size(jpeg: bytes) -> tuple[int, int]:
    height, width = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape[:2]
    return int(width), int(height)
