"""`epitool show`: shows a file of epitool as an interactive page, a picture or a video."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from epitool.console import Summary, counted, warn
from epitool.errors import InputError, UsageError
from epitool.files import check_kind
from epitool.images import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from epitool.io.cameras import CAMERA_SUFFIXES
from epitool.io.files import maker_of, require_file
from epitool.io.npz import PSS_BY, read_pss
from epitool.io.predictions import PREDICTIONS_BY
from epitool.options import ShowOptions
from epitool.stages.show.film import film
from epitool.stages.show.scenes import scene_of
from epitool.viz.page import write_page
from epitool.viz.recording import write_recording

_PICTURED = (".npz", ".jsonl")
# Format that a file of this suffix must state, if it states any, the command that makes it, and what it holds
_OF_SUFFIX = {
    ".json": ("poses", PREDICTIONS_BY, ""),
    ".npz": ("pss", PSS_BY, ""),
    ".jsonl": ("log", "epitool train", "the log of a run"),
}
_LARGEST = 1e12
_FRAMES = 150  # on a page
_ERRORS = ("val_nmpjpe", "val_2d_percent")  # every epoch of a log has one of these


def run(options: ShowOptions) -> Summary:
    """Show labels, keypoints, predictions and cameras on a page; clusters of poses and learning curves as a picture.

    A run's folder stands for its learning curve. Labels and keypoints can also be written as an `.mp4` video of every
    frame with all views side by side. All that a page shows can also be written as `.rrd`, for the Rerun viewer.

    Raises:
        InputError: The file is missing, damaged, or in no format of epitool.
        UsageError: The file cannot be shown in the requested format.
    """
    usual = page_of(options.file)
    file, path = _find_log(options.file), options.out or usual
    if options.file.is_dir() and not file.exists():
        raise InputError(
            f"{options.file}: is no run's folder, for it has no log.jsonl; `epitool train` makes one in runs/"
        )
    require_file(file, maker_of(file))
    _require_shown(file)
    suffixes = (
        [usual.suffix] if usual.suffix == ".png" else [".html", ".rrd"] + [".mp4"] * (file.suffix.lower() == ".h5")
    )
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"--out {path}: {file} is shown as {' or '.join(suffixes)}")
    if options.frames and path.suffix.lower() in (".mp4", ".png"):
        raise UsageError(f"--frames {options.frames}: is of pages; {path} shows all there is")
    if path.suffix.lower() == ".mp4":
        return film(file, path)
    if path.suffix.lower() == ".png":
        return _picture(file, path)
    scene = scene_of(file, options.frames or _FRAMES)
    drawn = [person.xy if person.xyz is None else person.xyz for person in scene.people]
    if drawn and not any(points is not None and np.isfinite(points).any() for points in drawn):
        warn(f"{file}: the frames that are shown hold no pose")
    if path.suffix.lower() == ".rrd":
        write_recording(path, scene)
    else:
        write_page(path, scene)
    shown = (
        f"{counted(len(scene.frames), 'frame')}, {counted(len(scene.images), 'image')}"
        if len(scene.frames)
        else "cameras alone"
    )
    shown += " (--frames shows more)" if " (one in " in scene.facts else ""
    viewer = "`rerun` opens it" if path.suffix.lower() == ".rrd" else "open it in a browser"
    text = f"{path}: {shown}, {path.stat().st_size / 1e6:.1f} MB; {viewer}"
    return Summary(text, {"out": str(path), "frames": len(scene.frames), "images": len(scene.images)})


def also_writes(options: ShowOptions) -> list[Path]:
    """Return the page or picture beside the file, if no other name is given."""
    return [] if options.out else [page_of(options.file)]


def page_of(file: Path) -> Path:
    """Return the file that is written if no name is given."""
    file = _find_log(file)
    return file.with_suffix(".png" if file.suffix.lower() in _PICTURED else ".html")


def _find_log(file: Path) -> Path:
    return file / "log.jsonl" if file.is_dir() else file


def _require_shown(file: Path) -> None:
    """Refuse a file of a kind that is not shown, before `--out` is judged by what such a file is shown as.

    Raises:
        InputError: It is of another kind.
    """
    suffix = file.suffix.lower()
    if suffix in _OF_SUFFIX:
        kind, made_by, words = _OF_SUFFIX[suffix]
        check_kind(file, [kind], made_by, words)
    elif suffix != ".h5" and suffix not in CAMERA_SUFFIXES:
        advice = ""
        if suffix in VIDEO_SUFFIXES | IMAGE_SUFFIXES:
            advice = "; it is footage, in which `epitool detect2d` finds joints and `epitool predict` a pose"
        raise InputError(
            f"{file}: is none of keypoints.h5, labels.h5, pose.json, cameras.toml, pss.npz, or a run's folder{advice}"
        )


def _picture(file: Path, path: Path) -> Summary:
    if file.suffix.lower() == ".npz":
        from epitool.viz.pss import plot_pss_centres

        model = read_pss(file)
        book = model.codebooks[0]
        plot_pss_centres(path, book.centers, model.skeleton)
        return Summary(f"{path}: {counted(book.k, 'cluster centre')}", {"out": str(path), "k": book.k})
    from epitool.viz.plots import plot_learning_curve

    log = _log(file)
    plot_learning_curve(path, log, _unit(file))
    return Summary(f"{path}: {counted(len(log), 'epoch')}", {"out": str(path), "epochs": len(log)})


def _log(file: Path) -> list[dict[str, float]]:
    try:
        log = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line]
        if not log or not all(isinstance(entry, dict) for entry in log):
            raise ValueError("no epochs")
        if not any(all(entry.keys() >= {"epoch", "train_loss", key} for entry in log) for key in _ERRORS):
            raise ValueError("no losses and errors of every epoch")
        numbers = np.array([[float(value) for value in entry.values()] for entry in log])
        if not (np.abs(numbers) < _LARGEST).all():
            raise ValueError("no losses")
    except (ValueError, TypeError, RecursionError):
        raise InputError(f"{file}: is no log of a run; `epitool train` writes one") from None
    return log


def _unit(log: Path) -> str:
    """Return the unit of the labels that the run learned from, read from the options beside its log; "" if unknown."""
    try:
        stated = json.loads((log.parent / "options.json").read_bytes())["unit"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    return "mm" if stated == "mm" else "arbitrary units"
