"""2D joints found by other programs: a module for each program, and one table of formats.

Each view is either a folder with one JSON file per image (OpenPose, also as kept by Pose2Sim; MMPose; AlphaPose), or
one file. To add a format, add a module that defines a `FileFormat` or `ImageFormat`, and list it in the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from epitool.errors import InputError
from epitool.io.files import foreign_file
from epitool.io.foreign.joints import alphapose, coco, deeplabcut, mmpose, openpose, sleap
from epitool.io.foreign.joints.format import JointFile, sketch
from epitool.io.foreign.joints.orders import view_of
from epitool.io.foreign.joints.seen_view import Array, SeenView, frame_number, frames_of, view_name
from epitool.skeleton import SKELETONS, Skeleton

# A file is read by the first format that fits.
OF_FILE = (
    alphapose.RESULTS, coco.ANNOTATIONS, mmpose.VIDEO, deeplabcut.CSV, sleap.ANALYSIS, deeplabcut.VIDEO, sleap.PROJECT
)  # fmt: skip
OF_IMAGE = (openpose.OF_IMAGE, mmpose.OF_IMAGE)
_WHAT, _WHAT_OF_IMAGE = "a file of 2D joints", "2D joints of one image"


def require_known(path: Path) -> None:
    """Refuse a file whose name is of no known format; folders are judged by what is in them.

    Raises:
        InputError: It is one.
    """
    if not path.is_dir() and not any(one.suffix == path.suffix.lower() for one in OF_FILE):
        suffixes = ", ".join(dict.fromkeys(one.suffix for one in OF_FILE))
        raise InputError(
            f"{path}: no known file of 2D joints; known are OpenPose folders, {suffixes}; poses are read from labels.h5"
            " and pose.json"
        )


def read_views(path: Path, given: Skeleton | None = None) -> list[SeenView]:
    """Read the views of a file or folder: several from Pose2Sim's folder of folders or a SLEAP project, otherwise one.

    Args:
        path: File or folder.
        given: Order of the joints, used if files do not name them. None infers the order from the people.

    Raises:
        InputError: The file or folder is damaged or of no known format.
        UsageError: A required extra is not installed.
    """
    if path.is_dir():
        folders = sorted(child for child in path.iterdir() if child.is_dir() and any(child.glob("*.json")))
        if any(path.glob("*.json")) or not folders:
            return [_read_folder(path, given)]
        return [_read_folder(folder, given) for folder in folders]
    require_known(path)
    with foreign_file(path, _WHAT):
        return _read_file(path, given)


def _read_file(path: Path, given: Skeleton | None) -> list[SeenView]:
    file, formats = JointFile(path), [one for one in OF_FILE if one.suffix == path.suffix.lower()]
    for one in formats:
        if one.fits(file):
            return one.read(file, given)
    found = f", but {sketch(file.json)}" if path.suffix.lower() == ".json" else ""
    raise ValueError(_neither([one.sign for one in formats]) + found)


def _neither(signs: Sequence[str]) -> str:
    return f"neither {', '.join(signs[:-1])}, nor {signs[-1]}"


def _read_folder(folder: Path, given: Skeleton | None) -> SeenView:
    """Read a view with one file per image."""
    files = _numbered(folder)
    by_frame: dict[int, list[Array]] = {}
    names: Sequence[str] | None = None
    programs: list[str] = []
    for number, file in files.items():
        with foreign_file(file, _WHAT_OF_IMAGE):
            program, by_frame[number], named = _read_image_file(file)
            names = names or named
            programs.append(program)
    with foreign_file(files[min(files)], _WHAT_OF_IMAGE):
        if len(set(programs)) > 1:
            raise ValueError(f"of {' and '.join(sorted(set(programs)))} in one folder")
        expected = len(given or names or SKELETONS["body25"])
        try:
            people, count = frames_of(by_frame, expected)
        except ValueError as error:
            raise InputError(f"{folder}: {error}") from None
        return view_of(view_name(folder), programs[0], people, count, names, given)


def _numbered(folder: Path) -> dict[int, Path]:
    """Return the files of a folder by frame number."""
    files: dict[int, Path] = {}
    for file in sorted(folder.glob("*.json")):
        if file.name.startswith(("del_", ".")):  # Pose2Sim marks excluded files so
            continue
        with foreign_file(file, _WHAT_OF_IMAGE):
            number = frame_number(file.name)
        if number in files:
            raise InputError(f"{file}: has the frame number of {files[number].name}; one of them must go")
        files[number] = file
    if not files:
        raise InputError(f"{folder}: holds no .json files of joints")
    return files


def _read_image_file(path: Path) -> tuple[str, list[Array], Sequence[str] | None]:
    """Read one image's file: the program, the numbers of each person, and the joint names."""
    file = JointFile(path)
    for one in OF_IMAGE:
        if (found := one.read(file.json)) is not None:
            return found
    if any(one.fits(file) for one in OF_FILE if one.suffix == ".json"):
        raise ValueError("joints of a whole video; give the file, not its folder")
    raise ValueError(f"{_neither([one.sign for one in OF_IMAGE])}, but {sketch(file.json)}")
