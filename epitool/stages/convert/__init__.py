"""The `epitool convert` command: converts between epitool's files and those of other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from epitool.console import Summary
from epitool.errors import InputError, UsageError
from epitool.files import held_in, kinds_in
from epitool.io.files import maker_of, require_file
from epitool.io.foreign.cameras import foreign_files, is_foreign_rig
from epitool.options import ConvertOptions
from epitool.skeleton import skeleton as named_skeleton
from epitool.stages.convert.cameras import convert_cameras
from epitool.stages.convert.joints import convert_joints
from epitool.stages.convert.poses import convert_poses, files_of

_NOT_FOR_ALL = (
    "views", "size", "fps", "unit", "inverse", "skeleton", "up_axis", "names", "filter", "fill_gaps"
)  # fmt: skip
_CONVERTED = {"cameras", "labels", "poses", "keypoints"}  # the last with a message of its own


def run(options: ConvertOptions) -> Summary:
    """Convert 2D joints to `keypoints.h5`, cameras to and from our format, or poses to formats of other programs.

    With 2D joints, `views` is the footage of each view, in the same order as the joints. With cameras, only the names
    of `views` are used: the cameras take these.

    Raises:
        InputError: A file is missing, damaged, or of no known format.
        UsageError: Something is missing or does not fit.
        GeometryError: No image shows a person.
    """
    for path in options.inputs:
        if not path.exists():
            makes = f"; `{maker_of(path)}` makes it" if path.suffix and maker_of(path) else ""
            raise InputError(f"{path}: no such file or folder{makes}")
        _require_convertible(path)
    if _holds_cameras(options.inputs[0]):
        _check_flags(options, "cameras", ("views", "size", "unit", "inverse"))
        return convert_cameras(options)
    if _holds_poses(options.inputs[0]):
        _check_flags(options, "poses", ("fps", "unit", "up_axis", "names", "filter", "fill_gaps"))
        return convert_poses(_require_one(options.inputs), options)
    _check_flags(options, "2D joints", ("views", "size", "skeleton"))
    return convert_joints(options, named_skeleton(options.skeleton) if options.skeleton else None)


def also_writes(options: ConvertOptions) -> list[Path]:
    """Return the files of other programs that are written for the name of the output."""
    files = foreign_files(options.out)
    if len(options.inputs) == 1 and options.inputs[0].exists() and _holds_poses(options.inputs[0]):
        files += files_of(options.inputs[0], options.out)
    return files


def _check_flags(options: ConvertOptions, what: str, known: Sequence[str]) -> None:
    """Refuse options that would have no effect.

    Raises:
        UsageError: An option does not apply to what the file holds.
    """
    for name in _NOT_FOR_ALL:
        if getattr(options, name) and name not in known:
            hint = "; `epitool triangulate --skeleton` makes labels of other joints" if name == "skeleton" else ""
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag}: {options.inputs[0]} holds {what}, to which it does not apply{hint}")


def _require_one(inputs: Sequence[Path]) -> Path:
    if len(inputs) > 1:
        raise UsageError(f"{inputs[1]}: only joints of several views are converted together; give one file")
    return inputs[0]


def _require_convertible(path: Path) -> None:
    """Refuse a file of epitool's own that is not converted, such as a network or an array of poses.

    Raises:
        InputError: It is one.
    """
    kinds = kinds_in(path) if path.is_file() else set()
    if kinds and (path.suffix.lower() == ".npz" or not kinds & _CONVERTED):
        raise InputError(
            f"{path}: holds {held_in(path)}, which `epitool convert` does not read; of epitool's files it reads"
            " cameras.toml, labels.h5 and pose.json"
        )


def _holds_cameras(path: Path) -> bool:
    return path.suffix.lower() == ".toml" or is_foreign_rig(path)


def _holds_poses(path: Path) -> bool:
    if path.is_dir() or path.suffix.lower() not in (".h5", ".json"):
        return False
    require_file(path, "epitool predict" if path.suffix.lower() == ".json" else "epitool triangulate")
    kinds = kinds_in(path)
    if kinds == {"keypoints"}:
        raise InputError(
            f"{path}: holds 2D joints; `epitool calibrate` and `epitool triangulate` make poses of them, which"
            " `convert` writes for other programs"
        )
    return bool(kinds & {"labels", "poses"})
