"""Readers of Acclaim's ASF skeletons and AMC motion, as in the CMU motion capture database.

A bone begins where its parent ends and points along G C R C^-1 d, where G is the rotation of its parent, C that of its
`axis`, R that of its angles, and d its `direction`. All angles rotate about fixed axes, in the order that `axis` names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from epitool.camera import Array
from epitool.io.files import foreign_file

ROOT = "root"
_INCH_MM = 25.4  # `length` of `:units` is the number of file units per inch
_LONGEST_MM = 1000.0  # longest plausible bone of a person
_AXES = re.compile(r"(?!.*(.).*\1)[xyz]{3}")
_PLACES, _TURNS = ("tx", "ty", "tz"), ("rx", "ry", "rz")
_UNIT_SLACK = 0.01  # tolerance of the length of a direction


@dataclass(frozen=True, eq=False)
class Bone:
    """Bone of a skeleton.

    Attributes:
        name: Name in the AMC.
        parent: Name of the parent bone, or "root".
        offset: Vector from the bone's beginning to its end in the rest pose, mm `(3,)`.
        axes: Order of the rotations, such as "xyz".
        frame: Rotation of the axes that the bone rotates about.
        numbers: Meaning of the numbers of a frame, such as ("rx", "rz").
    """

    name: str
    parent: str
    offset: Array
    axes: str
    frame: Rotation
    numbers: tuple[str, ...]

    def turns(self, angles: Array) -> Rotation:
        """Return the bone's F rotations relative to its parent, from numbers `(F, N)` of an AMC in degrees."""
        about = np.zeros((len(angles), 3))
        for place, axis in enumerate(self.axes):
            if f"r{axis}" in self.numbers:
                about[:, place] = angles[:, self.numbers.index(f"r{axis}")]
        turned = Rotation.from_euler(self.axes, about, degrees=True)  # lower case: about fixed axes
        return self.frame * turned * self.frame.inv()


Bones = Mapping[str, Bone]  # parents before children, starting with the root


def read_asf(path: Path) -> Bones:
    """Read the bones of a skeleton, including the root.

    Raises:
        InputError: The file is missing, damaged, or of another convention.
    """
    with foreign_file(path, "an ASF skeleton"):
        sections = _sections(path.read_text(encoding="utf-8-sig").splitlines())
        units = {words[0]: words[1] for words in sections["units"] if len(words) == 2}
        if units.get("angle") not in ("deg", "rad"):
            raise ValueError(f"angles in '{units.get('angle')}', expected deg or rad")
        degrees, unit_mm = units["angle"] == "deg", _INCH_MM / _number(units.get("length", "1"))
        bones = {ROOT: _root(sections["root"], degrees)}
        described = dict(_described(sections["bonedata"]))
        for parent, child in _parents_first(sections["hierarchy"]):
            if child not in described:
                raise ValueError(f"no bone data of {child}")
            bones[child] = _bone(child, parent, described[child], degrees, unit_mm)
        return bones


def _sections(lines: Sequence[str]) -> dict[str, list[list[str]]]:
    """Return the words of each line by section."""
    sections: dict[str, list[list[str]]] = {}
    section: list[list[str]] = []
    for line in lines:
        words = line.partition("#")[0].split()
        if words and words[0].startswith(":"):
            section = sections.setdefault(words[0][1:].lower(), [])
        elif words:
            section.append(words)
    return sections


def _root(lines: Sequence[Sequence[str]], degrees: bool) -> Bone:
    stated = {words[0]: words[1:] for words in lines}
    numbers = tuple(word.lower() for word in stated["order"])
    if sorted(numbers) != sorted(_PLACES + _TURNS):
        raise ValueError(f"the root's order is '{' '.join(stated['order'])}', expected TX TY TZ RX RY RZ in some order")
    axes = _axes(stated["axis"][0])
    frame = _read_rotation(axes, stated.get("orientation", ("0", "0", "0")), degrees)
    return Bone(ROOT, "", np.zeros(3), axes, frame, numbers)


def _described(lines: Sequence[Sequence[str]]) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Yield the name of each bone and its fields."""
    stated: dict[str, list[str]] = {}
    for words in lines:
        if words[0] == "begin":
            stated = {}
        elif words[0] == "end":
            yield stated["name"][0], stated
        else:
            stated[words[0]] = list(words[1:])


def _parents_first(lines: Sequence[Sequence[str]]) -> Iterator[tuple[str, str]]:
    """Yield (parent, child) for every bone connected to the root, parents first."""
    children = {words[0]: words[1:] for words in lines if words[0] not in ("begin", "end")}
    waiting, met = [ROOT], {ROOT}
    while waiting:
        parent = waiting.pop()
        for child in children.get(parent, ()):
            if child in met:
                raise ValueError(f"the hierarchy has {child} twice")
            met.add(child)
            waiting.append(child)
            yield parent, child


def _bone(name: str, parent: str, stated: Mapping[str, Sequence[str]], degrees: bool, unit_mm: float) -> Bone:
    direction, length = np.array([_number(word) for word in stated["direction"]]), _number(stated["length"][0])
    if direction.shape != (3,) or abs(np.linalg.norm(direction) - 1) > _UNIT_SLACK:
        raise ValueError(f"the direction of {name} is no unit vector")
    if not 0 <= length * unit_mm <= _LONGEST_MM:
        raise ValueError(f"{name} is {length * unit_mm:.6g} mm long")
    numbers = tuple(word.lower() for word in stated.get("dof", ()))
    if len(set(numbers)) < len(numbers) or not set(numbers) <= set(_TURNS):
        raise ValueError(f"the degrees of freedom of {name} are '{' '.join(numbers)}', expected some of rx ry rz")
    *angles, axes = stated["axis"]
    axes = _axes(axes)
    return Bone(name, parent, direction * length * unit_mm, axes, _read_rotation(axes, angles, degrees), numbers)


def _axes(word: str) -> str:
    if not _AXES.fullmatch(word.lower()):
        raise ValueError(f"axis '{word}', expected x, y and z in some order")
    return word.lower()


def _read_rotation(axes: str, angles: Sequence[str], degrees: bool) -> Rotation:
    if len(angles) != 3:
        raise ValueError(f"an axis of {len(angles)} angles")
    return Rotation.from_euler(axes, [_number(word) for word in angles], degrees=degrees)


def _number(word: str) -> float:
    number = float(word)
    if not math.isfinite(number):
        raise ValueError(f"'{word}' where a number is expected")
    return number


def read_amc(path: Path, bones: Bones, every: int) -> dict[str, Array]:
    """Read the numbers `(F, N)` of each moving bone in every `every`-th frame from the first, in degrees.

    Raises:
        InputError: The file is missing, damaged, truncated, or of another skeleton.
    """
    with foreign_file(path, "an AMC motion"), path.open(encoding="utf-8-sig") as file:
        kept: list[list[float]] = []
        order: tuple[str, ...] = ()
        for count, (number, lines) in enumerate(_frames(file)):
            names = tuple(line.split(maxsplit=1)[0] for line in lines)
            order = order or _checked_order(names, bones)
            if names != order:
                raise ValueError(f"frame {number} has not the bones of the first one in their order")
            values = [_values(line, bones, number) for line in lines]  # of all frames, to find all damage
            if count % every == 0:
                kept.append([value for of_bone in values for value in of_bone])
        if not kept:
            raise ValueError("it has no frames")
        table = np.array(kept)
    ends = np.cumsum([len(bones[name].numbers) for name in order])
    return dict(zip(order, np.split(table, ends[:-1], axis=1)))


def _frames(lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield (number, lines of the bones) of every frame.

    Raises:
        ValueError: Frames are missing, or angles are not in degrees.
    """
    number, found = 0, list[str]()
    for line in lines:
        line = line.partition("#")[0].strip()
        if line.upper() == ":RADIANS":
            raise ValueError("angles in radians, expected :DEGREES")
        if not line or line.startswith(":"):
            continue
        if line.isdecimal():
            if found:
                yield number, found
                if int(line) != number + 1:
                    raise ValueError(f"frame {line[:20]} follows frame {number}")
            number, found = int(line), []
        else:
            found.append(line)
    if found:
        yield number, found


def _checked_order(names: tuple[str, ...], bones: Bones) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("its first frame has a bone twice")
    if unknown := [name for name in names if name not in bones]:
        raise ValueError(f"has {', '.join(unknown)[:100]}, which the skeleton lacks")
    if lacking := [bone.name for bone in bones.values() if bone.numbers and bone.name not in names]:
        raise ValueError(f"has no {', '.join(lacking)[:100]}, which the skeleton has")
    return names


def _values(line: str, bones: Bones, number: int) -> list[float]:
    name, *words = line.split()
    if len(words) != len(bones[name].numbers):
        raise ValueError(f"frame {number}: {name} has {len(words)} numbers, expected {len(bones[name].numbers)}")
    return [_number(word) for word in words]


def bone_ends(bones: Bones, motion: Mapping[str, Array], wanted: Sequence[str]) -> Array:
    """Return the ends of bones in F frames, `(F, B, 3)` mm from the root, in the capture's axes.

    Args:
        bones: Bones of the skeleton.
        motion: Numbers of each bone in each frame.
        wanted: Names of the B bones.
    """
    count = len(motion[ROOT])
    still = Rotation.identity(count)
    turns, ends = {ROOT: bones[ROOT].turns(motion[ROOT])}, {ROOT: np.zeros((count, 3))}
    for bone in islice(bones.values(), 1, None):
        own = bone.turns(motion[bone.name]) if bone.name in motion else still
        turns[bone.name] = turns[bone.parent] * own
        ends[bone.name] = ends[bone.parent] + turns[bone.name].apply(bone.offset)
    return np.stack([ends[name] for name in wanted], axis=1)
