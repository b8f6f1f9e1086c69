"""`epitool convert`: files of other programs to ours, and ours to theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from epitool.camera import Rig
from epitool.console import Summary, say, warn
from epitool.errors import GeometryError, InputError, UsageError
from epitool.images import View, frame_rate, open_view, view_name
from epitool.io.cameras import read_rig, write_rig
from epitool.io.files import require_file
from epitool.io.foreign.motion import SUFFIXES as MOTION
from epitool.io.foreign.motion import write_motion
from epitool.io.foreign.people import read_views
from epitool.io.foreign.rigs import read_easymocap, write_foreign_rig
from epitool.io.foreign.seen import SeenView
from epitool.io.labels import has_poses, read_labels
from epitool.io.predictions import read_predictions
from epitool.pose import Poses
from epitool.skeleton import Skeleton
from epitool.skeleton import skeleton as named_skeleton
from epitool.stages.assembling import Assembly, found_of

_CAMERAS = (".toml", ".xml", ".yml", ".yaml", ".txt")
_METRES = (0.3, 50.0)  # how far apart cameras in a room are


def run(
    *, inputs: Sequence[Path], out: Path, views: Sequence[Path], size: tuple[int, int] | None, fps: float | None,
    unit: str | None, inverse: bool, skeleton: str | None = None,
) -> Summary:  # fmt: skip
    """Converts 2D joints to `keypoints.h5`, cameras to and from ours, or poses to formats of other programs.

    Args:
        inputs: 2D joints, a file or folder for each view; or cameras; or `labels.h5` or `pose.json`.
        out: What to write; its suffix says the format.
        views: The footage that 2D joints are of, in the same order; or what cameras are to be called, in theirs.
        size: (width, height) of its images, where neither footage nor files tell.
        fps: Frames per second of poses, where no video tells.
        unit: "m" or "mm" of the other program's file, where it does not say.
        inverse: Whether the cameras given are from camera to world.
        skeleton: Order of 2D joints, where files do not name them; judged by the people where it is not given.

    Raises:
        InputError: A file is missing, damaged, or of no known format.
        UsageError: Something is missing or does not fit.
        GeometryError: Nobody is in any image.
    """
    if not inputs:
        raise UsageError("nothing to convert; name files or folders")
    for path in inputs:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
    if _holds_cameras(inputs[0]):
        return _convert_cameras(_only(inputs), out, views, unit, inverse)
    if _holds_poses(inputs[0]):
        return _convert_poses(_only(inputs), out, fps, unit)
    return _convert_joints(inputs, out, views, size, named_skeleton(skeleton) if skeleton else None)


def _only(inputs: Sequence[Path]) -> Path:
    if len(inputs) > 1:
        raise UsageError(f"{inputs[1]}: only joints of several views are converted together; give one file")
    return inputs[0]


def _holds_cameras(path: Path) -> bool:
    return (path / "intri.yml").exists() if path.is_dir() else path.suffix.lower() in _CAMERAS


def _holds_poses(path: Path) -> bool:
    if path.is_dir() or path.suffix.lower() not in (".h5", ".json"):
        return False
    require_file(path, "epitool triangulate")
    with path.open("rb") as file:
        head = file.read(4096)
    if path.suffix.lower() == ".json":
        return b"epitool.poses" in head
    return head[:4] == b"\x89HDF" and _is_ours(path)


def _is_ours(path: Path) -> bool:
    try:
        return has_poses(path)
    except InputError:
        return False


def _convert_cameras(
    path: Path, out: Path, views: Sequence[Path], unit: str | None, inverse: bool
) -> Summary:  # fmt: skip
    rig = read_easymocap(path) if path.is_dir() else read_rig(path)
    if views:
        if len(views) != len(rig):
            raise UsageError(f"{len(views)} --views, but {path} has {len(rig)} cameras: {', '.join(rig.names)}")
        named = zip(rig.cameras, map(view_name, views), strict=True)
        rig = replace(rig, cameras=tuple(replace(camera, name=name) for camera, name in named))
    if inverse:
        rig = inverted(rig)
    elif len(rig) > 1 and parallax_deg(inverted(rig)) > 2 * parallax_deg(rig) + 5:
        warn(f"{path}: these look at one place from several sides if they are camera to world: --inverse")
    stated, factor = rig.unit == "mm", 1000.0 if unit == "m" else 1.0
    if not stated and unit:
        rig = rig.scaled(factor, "mm", f"{path.name}, in {unit}")
    elif not stated:
        _guess_unit(path, rig)
    out_factor = 1 / factor if stated else 1.0
    if out.suffix.lower() == ".toml":
        write_rig(out, rig if out_factor == 1 else rig.scaled(out_factor, "arbitrary", "metres, for another program"))
        written = [out]
    else:
        written = write_foreign_rig(out, rig, out_factor)
    names = ", ".join(map(str, written))
    said = "m" if out_factor != 1 else rig.unit
    return Summary(f"{names}: {len(rig)} cameras, unit {said}", {"files": [str(p) for p in written], "unit": said})


def inverted(rig: Rig) -> Rig:
    """The rig whose R and t were taken for camera from world, and are world from camera."""
    return replace(rig, cameras=tuple(replace(c, R=c.R.T, t=-c.R.T @ c.t) for c in rig.cameras))


def parallax_deg(rig: Rig) -> float:
    """From how far apart the cameras look at the point that their axes come nearest to: the median angle of two.

    Nought where it is not in front of every camera, near its axis.
    """
    ahead, centers = np.stack([c.R[2] for c in rig.cameras]), np.stack([c.center for c in rig.cameras])
    across = np.eye(3) - ahead[:, :, None] * ahead[:, None]
    point = np.linalg.lstsq(across.sum(axis=0), (across @ centers[..., None]).sum(axis=0)[:, 0], rcond=None)[0]
    directions = point - centers
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    if ((directions * ahead).sum(axis=1) < np.cos(np.radians(40))).any():
        return 0.0
    between = (directions @ directions.T)[np.triu_indices(len(rig), 1)]
    return float(np.degrees(np.median(np.arccos(np.clip(between, -1, 1)))))


def _guess_unit(path: Path, rig: Rig) -> None:
    centers = np.stack([camera.center for camera in rig.cameras])
    apart = float(np.median(np.linalg.norm(centers - np.roll(centers, 1, axis=0), axis=1)))
    if _METRES[0] < apart < _METRES[1]:
        say(f"{path}: states no unit; cameras {apart:.2g} apart are probably in metres: --unit m makes them mm")
    elif apart > 1000 * _METRES[0]:
        say(f"{path}: states no unit; cameras {apart:.0f} apart are probably in mm: --unit mm says so")


def _convert_poses(path: Path, out: Path, fps: float | None, unit: str | None) -> Summary:
    if out.suffix.lower() not in MOTION:
        raise UsageError(f"--out {out}: poses are written as {', '.join(MOTION)}")
    poses, image = _poses_of(path)
    rate = fps or frame_rate(image)
    if not np.isfinite(rate):
        raise UsageError(f"{path}: its images are no video that is still there; give --fps, frames per second")
    if unit and poses.unit != "mm":
        raise UsageError(f"--unit {unit}: {path} has no scale; calibrate with --scale")
    write_motion(out, poses, rate, 0.001 if unit == "m" else 1.0, unit or poses.unit)
    text = f"{out}: {len(poses.frames)} frames at {rate:g} per second, {len(poses.skeleton)} joints"
    values = {"out": str(out), "frames": len(poses.frames), "fps": rate, "unit": unit or poses.unit}
    return Summary(f"{text}, unit {unit or poses.unit}", values)


def _poses_of(path: Path) -> tuple[Poses, str]:
    """The poses of labels (world) or predictions (root-relative, one after the other), and the name of an image."""
    if path.suffix.lower() == ".h5":
        labels = read_labels(path)
        return labels.poses, next((name for name in labels.keypoints.images.ravel().tolist() if name), "")
    seen = read_predictions(path)
    frames = np.arange(len(seen.images))
    poses = Poses(seen.joints_3d, seen.confidence, frames, seen.skeleton, seen.unit, "root")
    return poses, seen.images[0] if seen.images else ""


def _convert_joints(
    inputs: Sequence[Path], out: Path, footage: Sequence[Path], size: tuple[int, int] | None,
    body: Skeleton | None,
) -> Summary:  # fmt: skip
    if out.suffix.lower() != ".h5":
        raise UsageError(f"--out {out}: 2D joints become a keypoints .h5")
    seen = [view for path in inputs for view in read_views(path, body)]
    names = [view.name for view in seen]
    if len(set(names)) < len(names):
        raise UsageError(f"two views are named {max(names, key=names.count)}; rename a file or folder")
    seen = _alike_where_empty(seen)
    if any(view.skeleton.joints != seen[0].skeleton.joints for view in seen):
        bodies = ", ".join(f"{view.name} {view.skeleton.name} ({len(view.skeleton)})" for view in seen)
        raise InputError(f"views with other joints: {bodies}")
    filmed = [open_view(path) for path in footage]
    if filmed and len(filmed) != len(seen):
        raise UsageError(f"{len(seen)} views of joints ({', '.join(names)}), but {len(filmed)} of footage")
    views = [_view(one, filmed[n] if filmed else None, size) for n, one in enumerate(seen)]
    common = set.intersection(*(set(view.people) for view in seen))
    if not common:
        spans = ", ".join(f"{view.name} {min(view.people, default=0)}-{max(view.people, default=0)}" for view in seen)
        raise GeometryError(f"the views have no frame number in common: {spans}")
    body = seen[0].skeleton
    people = Assembly(views, [found_of(view.people, len(body)) for view in seen], body)
    if not people.anybody:
        raise GeometryError(f"nobody is in any frame of {', '.join(names)}")
    program = f"{seen[0].program}: {', '.join(str(path) for path in inputs)}"
    tally = people.write(out, program, named=bool(filmed))
    if filmed:
        tally.report()
    text = f"{out}: {tally.frames} frames x {len(names)} views of {seen[0].program}, {len(body)} joints ({body.name})"
    values = {
        "out": str(out), "frames": tally.frames, "views": names, "joints": len(body), "program": seen[0].program
    }  # fmt: skip
    return Summary(f"{text}, a person in {tally.found.sum()} images", values)


def _alike_where_empty(seen: Sequence[SeenView]) -> list[SeenView]:
    """The views, those in which nobody is with the joints of the others: their files do not tell how many."""
    known = [view.skeleton for view in seen if any(len(xy) for xy, _ in view.people.values())]
    if not known:
        return list(seen)
    nobody = np.empty((0, len(known[0]), 2)), np.empty((0, len(known[0])))
    return [
        view
        if any(len(xy) for xy, _ in view.people.values())
        else replace(view, skeleton=known[0], people=dict.fromkeys(view.people, nobody))
        for view in seen
    ]


def _view(seen: SeenView, filmed: View | None, size: tuple[int, int] | None) -> View:
    """Where a view's images are, and how large; of footage that is not given only the size is known.

    Raises:
        InputError: Joints lie outside of the images, or of frames that the footage does not have.
        UsageError: Nothing tells the size.
    """
    size = filmed.image_size if filmed else size or seen.size
    if size is None:
        raise UsageError(
            f"{seen.name}: the files do not say how large the images are; give --views footage or --size WxH"
        )
    frames = tuple(sorted(seen.people))
    if filmed and (strange := set(frames) - set(filmed.frames)):
        raise InputError(
            f"{filmed.path}: has frames {filmed.frames[0]}-{filmed.frames[-1]}, the joints of {seen.name} are of frame"
            f" {min(strange)} too"
        )
    everyone = np.concatenate([np.empty((0, 2)), *(xy.reshape(-1, 2) for xy, _ in seen.people.values())])
    outside = (everyone > np.array(size) * 1.5).any(axis=-1).mean() if len(everyone) else 0
    if outside > 0.2:
        raise InputError(f"{seen.name}: {outside:.0%} of the joints lie far outside of {size[0]}x{size[1]} images")
    known = filmed or View(seen.name, Path(seen.name), frames, (), size)
    return replace(known, name=seen.name, frames=known.frames if filmed else frames)
