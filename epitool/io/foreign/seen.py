"""What other programs have seen in a view: people by frame number, and what their joints are called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.images import LARGEST_FRAME
from epitool.skeleton import SKELETONS, Skeleton, skeleton_of

Array = NDArray[np.float64]
People = tuple[Array, Array]  # joints (P, J, 2) and confidence (P, J) in one image
# Orders that files without names may have; which one, is judged by the people in them.
_UNNAMED = ("coco17", "h36m17", "body25", "body25b", "halpe26", "mpii16", "blazepose33")
_SIDED = {joint for body in SKELETONS.values() for joint in body.joints if joint.startswith(("left_", "right_"))}
_LARGEST_PX = 1e7
_CLEARLY = 0.8  # of the next best order's bone lengths
_LIKE_A_BODY = (
    0.6  # of the mean distance of two joints: bones are 0.2 to 0.5 in the right order, 0.7 up in a random one
)
_JUDGED_PEOPLE = 1000
_SUFFIXES = ("_json", "_keypoints", "_poses")
_ALPHAPOSE = "alphapose-results"  # what it calls every video's file


@dataclass(frozen=True, eq=False)
class SeenView:
    """What another program has seen in a view.

    Attributes:
        name: Of the view.
        people: Joints and confidence of everyone, by frame number.
        skeleton: Of the joints.
        size: (width, height) of the images, where the file says it.
        program: What wrote it, in words.
        judged: Whether the order of the joints was told by the people alone.
    """

    name: str
    people: dict[int, People]
    skeleton: Skeleton
    size: tuple[int, int] | None
    program: str
    judged: bool = False

    def __post_init__(self) -> None:
        strange = next((frame for frame in self.people if not 0 <= frame <= LARGEST_FRAME), None)
        if strange is not None:
            raise ValueError(f"{str(strange)[:80]} is no frame number")


def frame_number(name: str) -> int:
    """The last number in a file's name.

    Raises:
        ValueError: There is none, or it is too large.

    >>> frame_number("cam01_000000000012_keypoints.json")
    12
    """
    found = re.findall(r"\d+", Path(name).stem)
    if not found:
        raise ValueError(f"'{name[:80]}' has no frame number")
    if len(found[-1].lstrip("0")) > len(str(LARGEST_FRAME)) or int(found[-1]) > LARGEST_FRAME:
        raise ValueError(f"'{name[:80]}' ends in a number too large for a frame's")
    return int(found[-1])


def view_name(path: Path) -> str:
    """What the view of a file or folder is called: its name without what programs add.

    AlphaPose calls every video's file the same, in a folder for each.
    """
    if path.stem == _ALPHAPOSE:
        return path.resolve().parent.name
    name = path.stem if path.is_file() else path.name
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def body_of(
    count: int, names: Sequence[str] | None, people: Mapping[int, People], given: Skeleton | None
) -> Skeleton:  # fmt: skip
    """The skeleton given; or that of joints named so, in any spelling; or, unnamed, the one that fits the people.

    Raises:
        ValueError: The one given is not what the joints are named, or not of so many; or none fits.
    """
    if given is not None and len(given) != count:
        raise ValueError(f"{count} joints, but {given.name} has {len(given)}")
    if names is None:
        return given or body_by_anatomy(count, people)
    joints = tuple(map(spelled, names))
    if given is not None and given.joints != joints:
        raise ValueError(
            f"its joints are named, not as {given.name}'s or in another order; leave out --skeleton:"
            f" {', '.join(joints)[:80]} ..."
        )
    known = [body for body in SKELETONS.values() if body.joints == joints]
    return known[0] if known else skeleton_of("custom", joints)


def spelled(name: str) -> str:
    """Our spelling of a joint's name.

    >>> [spelled(name) for name in ("Left Knee", "R-Big Toe", "LShoulder", "rhip", "nose")]
    ['left_knee', 'right_big_toe', 'left_shoulder', 'right_hip', 'nose']
    """
    plain = re.sub(r"[\s_-]+", "_", name).lower()
    for side in ("left", "right"):
        for prefix in (f"{side}_", f"{side[0]}_", side, side[0]):
            if plain.startswith(prefix) and f"{side}_{plain[len(prefix) :]}" in _SIDED:
                return f"{side}_{plain[len(prefix) :]}"
    return plain


def body_by_anatomy(count: int, people: Mapping[int, People]) -> Skeleton:
    """Which known order so many joints are in: the one by which bones are shortest.

    OpenPose's BODY_25 and BODY_25B, for one, have 25 joints each, and their files look alike.

    Raises:
        ValueError: No order has so many joints, two fit alike, or none makes a body.
    """
    known = [SKELETONS[name] for name in _UNNAMED if len(SKELETONS[name]) == count]
    if not known:
        raise ValueError(f"{count} joints without names; orders are known of 16, 17, 25, 26 and 33")
    everyone = np.concatenate([np.empty((0, count, 2)), *(xy for xy, _ in people.values())])
    if not len(everyone):
        return known[0]
    everyone = everyone[:: max(1, len(everyone) // _JUDGED_PEOPLE)]
    found = sorted((_share_of_bones(everyone, body), n) for n, body in enumerate(known))
    (share, best), others = found[0], found[1:]
    if others and not share < _CLEARLY * others[0][0]:
        raise ValueError(
            f"{count} joints without names, in the order of {known[best].name} or {known[others[0][1]].name}:"
            " --skeleton says which"
        )
    half_seen = np.isfinite(everyone[..., 0]).any(axis=0).mean() >= 0.5  # a face alone would not tell
    if share > _LIKE_A_BODY and half_seen:
        raise ValueError(
            f"{count} joints without names, and in the order of {known[best].name} they make no body; --skeleton says"
            " the order, if it is a known one"
        )
    return known[best]


def _share_of_bones(xy: Array, body: Skeleton) -> float:
    """Mean length of bones by the mean distance of any two joints, of medians over people `(N, J, 2)`."""
    bones = _lengths(xy, *np.array(body.bones).T)
    if not len(bones):
        return np.inf
    return float(bones.mean() / max(_lengths(xy, *np.triu_indices(len(body), 1)).mean(), 1e-9))


def _lengths(xy: Array, start: NDArray[np.intp], end: NDArray[np.intp]) -> Array:
    """Median distances of pairs of joints, those that are ever seen together."""
    lengths = np.linalg.norm(xy[:, start] - xy[:, end], axis=-1)
    return np.nanmedian(lengths[:, np.isfinite(lengths).any(axis=0)], axis=0)


def stacked(found: Iterable[Array], joints: int) -> People:
    """People from arrays `(J, 3)` of x, y and confidence, where nought is not seen."""
    rows = np.array([one.reshape(joints, 3) for one in found], dtype=float).reshape(-1, joints, 3)
    if (np.abs(np.nan_to_num(rows)) > _LARGEST_PX).any():
        raise ValueError("joints that lie in no image")
    seen = np.isfinite(rows).all(axis=-1) & (rows[..., 2] > 0)
    xy = np.where(seen[..., None], rows[..., :2], np.nan)
    someone = seen.any(axis=-1)
    return xy[someone], np.where(seen, np.clip(rows[..., 2], 0, 1), 0.0)[someone]
