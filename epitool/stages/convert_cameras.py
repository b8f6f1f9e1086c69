"""`epitool convert` of cameras: other programs' files to ours, and ours to theirs, checked on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from epitool.camera import Rig
from epitool.console import Summary, say, warn
from epitool.errors import UsageError
from epitool.images import view_name
from epitool.io.cameras import read_rig, write_rig
from epitool.io.foreign.rigs import read_easymocap, write_foreign_rig

_METRES = (0.3, 50.0)  # how far apart cameras in a room are


def convert_cameras(
    path: Path, out: Path, views: Sequence[Path], unit: str | None, inverse: bool
) -> Summary:  # fmt: skip
    """Converts a camera file, or EasyMocap's folder, to what the name of `out` says; arguments as of `convert`.

    Raises:
        InputError: The file is damaged or of no known format.
        UsageError: `views` are not as many as the cameras.
    """
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
