"""Skeletons of other programs' joints, from the joint names or from the order that makes plausible bodies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from epitool.errors import InputError
from epitool.io.foreign.joints.seen_view import Array, People, SeenView
from epitool.skeleton import SKELETONS, Skeleton, skeleton_of

# Joint orders that files without names may have; the people in them decide which one it is.
_UNNAMED = (
    "coco17", "h36m17", "coco18", "coco23", "body25", "body25b", "halpe26", "mpii16", "blazepose33"
)  # fmt: skip
# First joints of whole-body orders (COCO, OpenPose's BODY_135, Halpe), which are followed by face and hands
_WHOLE = {133: ("coco23",), 135: ("body25b", "body25"), 136: ("halpe26",)}
_SIDED = {joint for body in SKELETONS.values() for joint in body.joints if joint.startswith(("left_", "right_"))}
_CLEARLY = 0.8  # largest ratio of the best to the next best order's unlikeness
_LIKE_A_BODY = (
    0.6  # of the mean distance of two joints: bones are 0.2 to 0.5 in the right order, 0.7 or more in a random one
)
_JUDGED_PEOPLE = 1000


class JointOrderError(InputError):
    """Joints whose order is not the stated one, or is not stated and cannot be found from the people."""


def view_of(
    name: str, program: str, people: Mapping[int, People], count: int, names: Sequence[str] | None,
    given: Skeleton | None, size: tuple[int, int] | None = None,
) -> SeenView:  # fmt: skip
    """Return a view with its skeleton; of whole bodies without joint names, only the body's joints are kept.

    Args:
        name: Name of the view.
        program: Name of the program that wrote the file.
        people: People by frame number, with `count` joints each.
        count: Number of joints.
        names: Joint names, or None if the file does not state them.
        given: Order of the joints that the user states, or None.
        size: (width, height) of the images, or None if the file does not state it.

    Raises:
        JointOrderError: The order cannot be determined, as in `body_of`.
        ValueError: There are too few or too many joints, as in `body_of`.
    """
    body = body_of(count, names, people, given)
    kept = {frame: (xy[:, : len(body)], confidence[:, : len(body)]) for frame, (xy, confidence) in people.items()}
    return SeenView(name, kept, body, size, program, names is None and given is None, count - len(body))


def body_of(
    count: int, names: Sequence[str] | None, people: Mapping[int, People], given: Skeleton | None
) -> Skeleton:  # fmt: skip
    """Return the given skeleton, the one with these joint names in any spelling, or without names the best fitting one.

    Unnamed joints of a whole body begin with those of a known skeleton, which then has fewer joints.

    Raises:
        JointOrderError: The given skeleton has other joint names, or no order is clearly that of a body.
        ValueError: The given skeleton has another number of joints, or no skeleton has it.
    """
    heads = [SKELETONS[name].joints for name in _WHOLE.get(count, ())] if names is None else []
    if given is not None and len(given) != count and not any(h[: len(given)] == given.joints for h in heads):
        raise ValueError(f"{count} joints, but {given.name} has {len(given)}")
    if names is None:
        return given or body_by_anatomy(count, people)
    joints = tuple(map(spelled, names))
    if given is not None and given.joints != joints:
        raise JointOrderError(
            f"its joints are named, not as {given.name}'s or in another order: {', '.join(joints)[:80]} ..."
        )
    known = [body for body in SKELETONS.values() if body.joints == joints]
    return known[0] if known else skeleton_of("custom", joints)


def spelled(name: str) -> str:
    """Return our spelling of a joint name.

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
    """Infer the order of `count` joints: in the right one, bones are short and equally long on the left and right.

    For example, OpenPose's BODY_25 and BODY_25B both have 25 joints, and their files look the same.

    Raises:
        JointOrderError: Two orders fit equally, or none makes plausible bodies.
        ValueError: No known order has this number of joints.
    """
    known = [SKELETONS[name] for name in _WHOLE.get(count, [n for n in _UNNAMED if len(SKELETONS[n]) == count])]
    if not known:
        counts = sorted({*(len(SKELETONS[name]) for name in _UNNAMED), *_WHOLE})
        raise ValueError(f"{count} joints without names; orders are known of {', '.join(map(str, counts))}")
    everyone = np.concatenate([np.empty((0, count, 2)), *(xy for xy, _ in people.values())])
    if not len(everyone):
        return known[0]
    everyone = everyone[:: max(1, len(everyone) // _JUDGED_PEOPLE)]
    found = sorted((_unlikeness(everyone, body), n) for n, body in enumerate(known))
    (unlike, best), others = found[0], found[1:]
    if others and not unlike < _CLEARLY * others[0][0]:
        raise JointOrderError(
            f"{count} joints without names, in the order of {known[best].name} or {known[others[0][1]].name}"
        )
    everyone = everyone[:, : len(known[best])]
    share = _share_of_bones(everyone, known[best])
    half_seen = np.isfinite(everyone[..., 0]).any(axis=0).mean() >= 0.5  # too few joints do not decide
    if share > _LIKE_A_BODY and half_seen:
        raise JointOrderError(f"{count} joints without names, and in the order of {known[best].name} they make no body")
    return known[best]


def _unlikeness(xy: Array, body: Skeleton) -> float:
    """Return how implausible people are in this order, because of long bones and left-right differences of bones."""
    xy = xy[:, : len(body)]
    mirrored = [(body.flip_order[start], body.flip_order[end]) for start, end in body.bones]
    lengths = {bone: _lengths(xy, *np.array([bone]).T) for bone in body.bones}
    pairs = [(lengths[bone], lengths[other]) for bone, other in zip(body.bones, mirrored) if other in lengths]
    uneven = [abs(np.log(max(a[0], 1e-9) / max(b[0], 1e-9))) for a, b in pairs if len(a) and len(b)]
    # geometric mean of the length ratios of mirrored bones, at least 1
    return _share_of_bones(xy, body) * float(np.exp(np.mean(uneven))) if uneven else _share_of_bones(xy, body)


def _share_of_bones(xy: Array, body: Skeleton) -> float:
    """Return the mean bone length divided by the mean distance of two joints, from medians over people `(N, J, 2)`."""
    bones = _lengths(xy, *np.array(body.bones).T)
    if not len(bones):
        return np.inf
    return float(bones.mean() / max(_lengths(xy, *np.triu_indices(len(body), 1)).mean(), 1e-9))


def _lengths(xy: Array, start: NDArray[np.intp], end: NDArray[np.intp]) -> Array:
    """Return the median distances of pairs of joints, for pairs that some image shows together."""
    lengths = np.linalg.norm(xy[:, start] - xy[:, end], axis=-1)
    return np.nanmedian(lengths[:, np.isfinite(lengths).any(axis=0)], axis=0)
