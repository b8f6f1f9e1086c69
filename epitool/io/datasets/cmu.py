"""Reader of the CMU Graphics Lab motion capture database: a folder per subject, with skeleton (ASF) and clips (AMC)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from epitool.camera import Array
from epitool.console import warn
from epitool.errors import InputError
from epitool.io.datasets.asf_amc import Bones, bone_ends, read_amc, read_asf
from epitool.skeleton import Skeleton, convert_joints, skeleton, skeleton_of

FRAMES_PER_SECOND = 120.0  # of the capture; an AMC does not state it
H36M = skeleton("h36m17")
# The bone at whose end each joint is. Pelvis, thorax and spine are derived from these by the rules of
# `epitool.skeleton`, as for detected joints, because the capture's root is a hand's breadth above the mid-hip.
JOINTS: Mapping[str, str] = {
    "neck_nose": "upperneck",
    "head_top": "head",
    **{
        f"{side}_{joint}": f"{side[0]}{bone}"
        for side in ("left", "right")
        for joint, bone in {
            "shoulder": "clavicle", "elbow": "humerus", "wrist": "radius", "hip": "hipjoint", "knee": "femur",
            "ankle": "tibia",
        }.items()
    },
}  # fmt: skip
MEASURED: Skeleton = skeleton_of("cmu", tuple(JOINTS))
_CLIP = re.compile(r"(\d+)_(\w+)")


@dataclass(frozen=True)
class MocapClip:
    """Clip of motion capture.

    Attributes:
        subject: Number of the captured person.
        path: Path of the AMC.
        skeleton: Path of the ASF.
    """

    subject: int
    path: Path
    skeleton: Path


def find_clips(root: Path) -> list[MocapClip]:
    """Find the clips in a folder and its subfolders, sorted by subject and name.

    Raises:
        InputError: There are no clips, or a skeleton is missing.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder")
    files = [file for file in root.rglob("*") if file.suffix.lower() == ".amc" and not file.name.startswith(".")]
    named = {file: found for file in sorted(files) if (found := _CLIP.fullmatch(file.stem))}
    if not named:
        raise InputError(f"{root}: has no clips; it should be CMU's all_asfamc, with 01/01.asf, 01/01_01.amc and so on")
    if len(named) < len(files):
        strange = next(file for file in files if file not in named)
        warn(f"{strange}: is left out, and {len(files) - len(named) - 1} more: a clip is named as 01_01.amc")
    clips = [MocapClip(int(found[1]), file, _skeleton_of(file, found[1])) for file, found in named.items()]
    return sorted(clips, key=lambda clip: (clip.subject, clip.path))


def _skeleton_of(clip: Path, subject: str) -> Path:
    for suffix in (".asf", ".ASF"):
        if (file := clip.with_name(subject + suffix)).is_file():
            return file
    raise InputError(f"{clip.with_name(f'{subject}.asf')}: no such file, but {clip.name} needs it")


def read_poses(clip: MocapClip, every: int) -> Array:
    """Read the joints of h36m17 in every `every`-th frame, `(F, 17, 3)` mm from the pelvis, y up.

    Raises:
        InputError: A file is damaged, or of another convention.
    """
    bones = _bones(clip.skeleton)
    ends = bone_ends(bones, read_amc(clip.path, bones, every), list(JOINTS.values()))
    xyz, _ = convert_joints(ends, np.ones(ends.shape[:2]), MEASURED, H36M)
    return xyz - xyz[:, [H36M.root]]


@lru_cache(maxsize=1)  # the clips of a subject are read one after the other
def _bones(path: Path) -> Bones:
    bones = read_asf(path)
    if lacking := [bone for bone in JOINTS.values() if bone not in bones]:
        raise InputError(f"{path}: has no {', '.join(lacking)}; CMU's skeletons do")
    return bones
