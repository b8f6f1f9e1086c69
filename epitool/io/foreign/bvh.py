"""Writer of BVH, the format in which Blender and other animation programs read motion capture."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.files import writing
from epitool.geometry.body.rotations import BoneMotion

_ORDER = "ZXY"  # of the rotations about moving axes, as most programs write them
_OF_ROOT, _OF_BONE = "Xposition Yposition Zposition ", " ".join(f"{axis}rotation" for axis in _ORDER)


def write_bvh(path: Path, motion: BoneMotion, scale: float, fps: float) -> None:
    """Write the motion of bones.

    Args:
        path: File to write.
        motion: The motion, one row for each frame.
        scale: Factor that lengths are multiplied by.
        fps: Frames per second.

    Raises:
        InputError: The file cannot be written.
    """
    offsets = motion.offsets * scale
    columns = [motion.root * scale, *(_angles(motion.rotations[:, b]) for b in _iterate_bones(motion))]
    head = ["HIERARCHY", *_node(motion, offsets, 0, 0), "MOTION", f"Frames: {len(motion.root)}"]
    with writing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write("\n".join([*head, f"Frame Time: {1 / fps:.8f}"]) + "\n")
        for row in np.concatenate(columns, axis=1):
            file.write(" ".join(f"{number:.5f}" for number in row) + "\n")


def _children(motion: BoneMotion, bone: int) -> list[int]:
    return [b for b, one in enumerate(motion.bones) if one.parent == bone]


def _iterate_bones(motion: BoneMotion, bone: int = 0) -> Iterator[int]:
    """Yield bones in the order of the hierarchy's text, which is that of the channels."""
    yield bone
    for child in _children(motion, bone):
        yield from _iterate_bones(motion, child)


def _node(motion: BoneMotion, offsets: NDArray[np.float64], bone: int, depth: int) -> list[str]:
    one, pad, children = motion.bones[bone], "\t" * depth, _children(motion, bone)
    start = offsets[max(one.parent, 0)]  # the root has no length
    lines = [
        f"{pad}{'JOINT' if depth else 'ROOT'} {one.name}",
        f"{pad}{{",
        f"{pad}\tOFFSET {_numbers(start)}",
        f"{pad}\tCHANNELS {3 if depth else 6} {'' if depth else _OF_ROOT}{_OF_BONE}",
    ]
    for child in children:
        lines += _node(motion, offsets, child, depth + 1)
    if not children:
        lines += [f"{pad}\tEnd Site", f"{pad}\t{{", f"{pad}\t\tOFFSET {_numbers(offsets[bone])}", f"{pad}\t}}"]
    return [*lines, f"{pad}}}"]


def _numbers(values: NDArray[np.float64]) -> str:
    return " ".join(f"{value:.5f}" for value in values)


def _angles(rotations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return angles in degrees `(F, 3)`, without jumps of whole turns."""
    from scipy.spatial.transform import Rotation  # slow to import

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of gimbal lock, where several angles say the same
        angles = Rotation.from_matrix(rotations).as_euler(_ORDER, degrees=True)
    return np.unwrap(angles, period=360, axis=0)
