"""Cameras for other programs: Qualisys XML, OpenCV YAML and XML, EasyMocap."""

from __future__ import annotations

from glob import escape
from pathlib import Path

from epitool.camera import Rig
from epitool.io.foreign.easymocap import EXTRI, INTRI, write_easymocap
from epitool.io.foreign.lenses import write_opencv
from epitool.io.foreign.qualisys import write_qualisys

OPENCV_SUFFIXES = (".yml", ".yaml", ".xml")


def foreign_files(path: Path) -> list[Path]:
    """Files that `write_foreign_rig` may write over: those of one camera that are there, or a folder's two."""
    if path.suffix.lower() in OPENCV_SUFFIXES:
        return sorted(path.parent.glob(f"{escape(path.stem)}_*{path.suffix}"))
    return [path / INTRI, path / EXTRI]


def write_foreign_rig(path: Path, rig: Rig, scale: float) -> list[Path]:
    """Writes cameras in the format that a name says; returns the files.

    Args:
        path: `.qca.txt` (Qualisys), `.yml`, `.yaml` or `.xml` (OpenCV, one file a camera: `name_CAMERA.yml`), or a
            folder (EasyMocap).
        rig: The cameras.
        scale: By which lengths are multiplied.
    """
    rig = rig.scaled(scale, rig.unit, rig.scale_source)
    if path.name.endswith(".qca.txt"):
        return [write_qualisys(path, rig)]
    if path.suffix.lower() in OPENCV_SUFFIXES:
        return [write_opencv(path.with_name(f"{path.stem}_{c.name}{path.suffix}"), c) for c in rig.cameras]
    return write_easymocap(path, rig)
