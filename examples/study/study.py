"""The paper's Tables 1 to 3 where truth is exact: rendered people, none of them in two parts.

    pip install 'epitool[mediapipe,synth]'
    python study.py study --motion mocap.npz

Recordings, one person, rig, room and set of clips each, are dealt out to training (70%), choice and test (15% each).
All are joined to one set of labels per kind, whose frames `train`, `refine` and `evaluate` part at these places. What
is there already is not made again; `study/results.json` has every number, `study/results.md` the tables.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from epitool.console import set_quiet
from epitool.errors import EpitoolError
from epitool.images import read_image
from epitool.io.keypoints_h5 import write_keypoints
from epitool.io.labels_h5 import read_labels, write_labels
from epitool.io.pose_arrays import read_pose_arrays
from epitool.io.predictions import read_predictions
from epitool.labels import Labels, Take, split_frames
from epitool.metrics import nmpjpe, pmpjpe
from epitool.nn.crops import crop_image
from epitool.options import (
    CalibrateOptions,
    Detect2dOptions,
    EvaluateOptions,
    PredictOptions,
    PssFitOptions,
    RefineOptions,
    SynthOptions,
    TrainOptions,
    TriangulateOptions,
)
from epitool.stages import calibrate, detect2d, evaluate, predict, pss_fit, refine, synth, train, triangulate
from epitool.viz.overlay import draw_pose, save_image, tile
from epitool.viz.poses3d import plot_poses

COLUMNS = ("MPJPE", "NMPJPE", "PMPJPE", "mPSS@50", "mPSS@100")
LABELS = {  # table 1: 2D joints, and whether the cameras' places are known
    "true 2D": ("truth", True),
    "true 2D, no R": ("truth", False),
    "detected 2D": ("detected", True),
    "detected 2D, no R": ("detected", False),
}
WAYS: dict[str, tuple[Literal["essential", "fundamental"], Literal["robust", "vector-median"]]] = {
    "epitool": ("essential", "robust"),
    "paper": ("fundamental", "vector-median"),
}
NETWORKS = {  # tables 2 and 3: labels, supervision, whether a refinement unit follows
    "FS": ("truth", "full", True),
    "SS": ("detected 2D", "self", True),
    "SS, no R": ("detected 2D, no R", "self", False),
    "SS, true 2D": ("true 2D", "self", False),
    "S1": ("one fifth of the truth", "full", False),
}
RATIOS = (  # name, above, below, column, the paper's
    ("SS / FS", "SS", "FS", "NMPJPE", 1.46),
    ("SS no R / SS", "SS, no R", "SS", "NMPJPE", 1.033),
    ("SS + RU / SS", "SS + RU", "SS", "PMPJPE", 0.70),
)


@dataclass(frozen=True)
class Study:
    """Sizes, and the folder that everything is in."""

    folder: Path
    motion: Path | None
    recordings: int
    frames: int
    size: int
    start_epochs: int
    epochs: int
    seeds: tuple[int, ...]

    def recording(self, i: int) -> Path:
        """Folder of one person's images."""
        return self.folder / f"rec{i:02d}"

    def labels(self, kind: str, way: str) -> Path:
        """Joined labels of a row of table 1."""
        return self.folder / f"{way}-{kind.replace(',', '').replace(' ', '-')}.h5"

    @property
    def truth(self) -> Path:
        """Joined exact labels."""
        return self.folder / "truth.h5"

    def learned(self, kind: str) -> Path:
        """What a network learns from: exact labels of all or of one fifth of the people, or a row of table 1."""
        exact = {"truth": self.truth, "one fifth of the truth": self.folder / "truth-of-a-fifth.h5"}
        return exact.get(kind) or self.labels(kind, "epitool")


def made(path: Path, make: Callable[[], object]) -> Path:
    """The path, once it is there."""
    if not path.exists():
        print(f"making {path}", flush=True)
        make()
    return path


def film(study: Study, i: int) -> None:
    """Images, exact truth, and joints as a detector sees them."""
    folder = study.recording(i)
    clips = made(folder.with_suffix(".npz"), partial(deal_clips, study)) if study.motion else None
    made(
        folder / "truth.h5",
        lambda: synth.run(SynthOptions(out=folder, frames=study.frames, motion=clips, size=study.size, seed=i)),
    )
    views = [folder / name for name in read_labels(folder / "truth.h5").rig.names]
    made(
        folder / "detected.h5",
        lambda: detect2d.run(Detect2dOptions(views=tuple(views), out=folder / "detected.h5", device="cpu")),
    )
    exact = replace(read_labels(folder / "truth.h5").keypoints)
    made(folder / "truth-2d.h5", lambda: write_keypoints(folder / "truth-2d.h5", exact))


def deal_clips(study: Study) -> None:
    """Deals the clips out to the recordings, none to two of them; poses evenly through each share."""
    assert study.motion is not None
    arrays = read_pose_arrays(study.motion)
    clips = np.random.default_rng(0).permutation(np.unique(arrays.clips))
    for i, share in enumerate(np.array_split(clips, study.recordings)):
        of_share = np.flatnonzero(np.isin(arrays.clips, share))
        chosen = of_share[np.linspace(0, len(of_share) - 1, study.frames).astype(int)]
        np.savez(
            study.recording(i).with_suffix(".npz"), xyz_mm=arrays.poses.xyz[chosen], clip_index=arrays.clips[chosen]
        )


def label(study: Study, i: int, kind: str, way: str) -> Path | None:
    """Labels of a recording; None where its cameras are not found."""
    joints, known = LABELS[kind]
    folder, (method, combine) = study.recording(i), WAYS[way]
    keypoints = folder / ("truth-2d.h5" if joints == "truth" else "detected.h5")
    cameras, out = folder / "cameras.toml", folder / study.labels(kind, way).name
    if out.exists():
        return out
    try:
        if not known:
            cameras = folder / f"{out.stem}.toml"
            known_lenses = folder / "cameras.toml"
            calibrate.run(
                CalibrateOptions(keypoints=keypoints, intrinsics=known_lenses, method=method, device="cpu", out=cameras)
            )
        triangulate.run(
            TriangulateOptions(keypoints=keypoints, cameras=cameras, combine=combine, skeleton="h36m17", out=out)
        )
    except EpitoolError as error:
        print(f"{out}: left out, {error}", flush=True)
        return None
    return out


def join(study: Study, out: Path, paths: list[Path | None]) -> None:
    """Labels of all recordings as takes of one file."""
    truths = [read_labels(study.recording(i) / "truth.h5") for i in range(study.recordings)]
    parts = [spread(read_labels(path) if path else None, truth) for path, truth in zip(paths, truths)]
    unit = next(read_labels(path).rig.unit for path in paths if path)
    source = "rendered" if unit == "mm" else "none"
    rigs = [replace(part.rig, unit=unit, scale_source=source) for part in parts]
    takes = tuple(Take(study.recording(i).name, rig) for i, rig in enumerate(rigs))
    first, frames = truths[0], np.arange(len(parts) * study.frames)
    images = np.concatenate([truth.keypoints.images for truth in truths])

    def all_of(get: Callable[[Labels], Any]) -> Any:
        return np.concatenate([get(part) for part in parts])

    poses = replace(
        first.poses, xyz=all_of(lambda x: x.poses.xyz), confidence=all_of(lambda x: x.poses.confidence),
        frames=frames, unit=unit,
    )  # fmt: skip
    keypoints = replace(
        first.keypoints, xy=all_of(lambda x: x.keypoints.xy), confidence=all_of(lambda x: x.keypoints.confidence),
        frames=frames, images=images, take_of=np.repeat(np.arange(len(parts)), study.frames),
    )  # fmt: skip
    rest = all_of(lambda x: x.reprojection_px), all_of(lambda x: x.swapped)
    write_labels(out, Labels(poses, keypoints, rigs[0], *rest, takes=takes))


def spread(labels: Labels | None, truth: Labels) -> Labels:
    """Labels with all frames and views of the recording, and their own cameras if there are some.

    What they lack is NaN; a view that was left out, and that nothing is learned from, keeps its true camera.
    """
    at = np.searchsorted(truth.poses.frames, labels.poses.frames) if labels else np.empty(0, dtype=int)
    views = np.array([truth.rig.names.index(name) for name in labels.rig.names] if labels else [], dtype=int)

    def filled(get: Callable[[Labels], Any], fill: float = np.nan, *, of_views: bool = True) -> Any:
        whole = np.full_like(get(truth), fill)
        if labels:
            whole[np.ix_(at, views) if of_views else at] = get(labels)
        return whole

    poses = replace(
        truth.poses,
        xyz=filled(lambda x: x.poses.xyz, of_views=False),
        confidence=filled(lambda x: x.poses.confidence, 0.0, of_views=False),
    )
    keypoints = replace(
        truth.keypoints,
        xy=filled(lambda x: x.keypoints.xy),
        confidence=filled(lambda x: x.keypoints.confidence, 0.0),
    )
    found = {camera.name: camera for camera in (labels or truth).rig.cameras}
    cameras = tuple(found.get(camera.name, camera) for camera in truth.rig.cameras)
    return replace(
        truth, poses=poses, keypoints=keypoints, rig=replace((labels or truth).rig, cameras=cameras),
        reprojection_px=filled(lambda x: x.reprojection_px), covariance=np.empty(0), used=np.empty(0, dtype=bool),
    )  # fmt: skip


def measure(study: Study, predictions: Path, part: Literal["train", "test"]) -> dict[str, Any]:
    """The columns of the paper's tables."""
    summary = evaluate.run(
        EvaluateOptions(
            predictions=(predictions,), truth=study.truth, pss_file=study.folder / "pss.npz", split=part,
            out=predictions.with_suffix(".metrics.json"),
        )
    )  # fmt: skip
    # of few poses fewer clusters are made, and the name says so: "mPSS@50 (k=44)"
    metrics = {metric["name"].partition(" ")[0]: metric for metric in summary.values["rows"][0]["metrics"]}
    return {name: metrics[name]["value"] for name in COLUMNS} | {"poses": metrics["NMPJPE"]["counted"]}


def start(study: Study) -> Path:
    """What all networks start from: one that has learned x and y of the detected joints, as the paper's had of MPII."""
    pairs, out = study.labels("detected 2D", "epitool"), study.folder / "runs" / "start"
    options: dict[str, Any] = {"epochs": study.start_epochs, "seed": 0, "supervision": "2d"}
    finished = out / "finished"

    def learn_flat() -> None:
        train.run(TrainOptions(pairs=pairs, out=out, preset="small", **options))
        finished.touch()

    made(finished, learn_flat)
    return out / "model.pt"


def learn(study: Study, name: str, seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """A network, and after it a refinement unit, measured on people that neither has seen."""
    kind, supervision, refined = NETWORKS[name]
    pairs = study.learned(kind)
    out = study.folder / "runs" / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"
    images = read_labels(study.truth).keypoints.images.ravel().tolist()
    options: dict[str, Any] = {
        "epochs": study.epochs,
        "seed": seed,
        "supervision": supervision,
        "initial": str(start(study)),
    }
    look = {"images": images, "model": out / "model.pt", "boxes": study.labels("detected 2D", "epitool")}

    def learn_and_look() -> None:
        train.run(TrainOptions(pairs=pairs, out=out, preset="small", **options))  # goes on where it stopped
        predict.run(PredictOptions(**look, out=out / "pose.json", batch_size=64, no_refiner=True))

    pose = made(out / "pose.json", learn_and_look)
    yield name, measure(study, pose, "test")
    if refined:
        unit = made(
            out / "refiner.pt",
            lambda: refine.run(
                RefineOptions(predictions=pose, pairs=(study.truth,), out=out / "refiner.pt", seed=seed)
            ),
        )
        better = out / "refined.json"
        made(better, lambda: predict.run(PredictOptions(**look, out=better, batch_size=64, refiner=unit)))
        yield f"{name} + RU", measure(study, better, "test")


def tables(rows: list[dict[str, Any]]) -> str:
    """The tables and the ratios, as Markdown."""
    lines = [f"| | {' | '.join(COLUMNS)} | poses |", f"|---|{'---|' * (len(COLUMNS) + 1)}"]
    means: dict[tuple[str, str], dict[str, float]] = {}
    for name, way in dict.fromkeys((row["name"], row["way"]) for row in rows):
        same = [row for row in rows if (row["name"], row["way"]) == (name, way)]
        cells = []
        for column in COLUMNS:
            values = [row[column] for row in same if row[column] is not None]
            means.setdefault((name, way), {})[column] = float(np.mean(values)) if values else np.nan
            spread_ = f" ({min(values):.1f}-{max(values):.1f})" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.1f}{spread_}" if values else "n/a")
        lines.append(f"| {name}, {way} | {' | '.join(cells)} | {same[0]['poses']} |")
    lines += ["", "| ratio | here | paper |", "|---|---|---|"]
    for title, above, below, column, paper in RATIOS:
        found = [means.get((name, "epitool"), {}).get(column, np.nan) for name in (above, below)]
        if np.isfinite(found).all():
            lines.append(f"| {title} ({column}) | {found[0] / found[1]:.2f} | {paper} |")
    return "\n".join(lines) + "\n"


def same_poses(study: Study) -> str:
    """What not to know the cameras costs, over poses whose joints are all there in both."""
    paths = study.truth, *(study.labels(f"detected 2D{r}", "epitool") for r in ("", ", no R"))
    truth, known, unknown = map(read_labels, paths)
    part, root = split_frames(len(truth.poses.frames))["train"], truth.poses.skeleton.root
    exact, *found = (labels.in_cameras[part] for labels in (truth, known, unknown))
    whole = np.isfinite(found).all(axis=(0, 2, 3, 4))
    lines = [f"Labels from detected joints, {whole.sum()} of {len(part)} training frames, whole with R and without"]
    for metric in (nmpjpe, pmpjpe):
        with_r, without = (metric(poses[whole], exact[whole], root).mean() for poses in found)
        lines.append(f"{metric.__name__.upper()} {with_r:.1f} with, {without:.1f} without ({without / with_r:.2f} x)")
    return "; ".join(lines) + "\n"


def picture(study: Study, predictions: Path) -> None:
    """The paper's Figure 7: what a network sees in test images, from its best to its worst by NMPJPE."""
    truth, seen = read_labels(study.truth), read_predictions(predictions)
    part, root = split_frames(len(truth.poses.frames))["test"], truth.poses.skeleton.root
    places = {name: i for i, name in enumerate(truth.keypoints.images[part].ravel().tolist())}
    exact = truth.in_cameras[part].reshape(-1, *truth.poses.xyz.shape[1:])
    chosen = [(i, places[name]) for i, name in enumerate(seen.images) if name in places]
    errors = np.array([nmpjpe(seen.joints_3d[i], exact[j], root) for i, j in chosen])
    order = np.argsort(errors)[: np.isfinite(errors).sum()]
    shown = [int(order[round(share * (len(order) - 1))]) for share in (0.05, 0.35, 0.65, 0.9, 1.0)]
    ours, theirs = (np.array([chosen[k][side] for k in shown]) for side in (0, 1))
    images = [
        crop_image(draw_pose(read_image(Path(seen.images[i])), seen.joints_2d[i], seen.skeleton), seen.boxes[i], 256)
        for i in ours
    ]
    save_image(study.folder / "images.png", tile(images, len(images)))
    relative = [poses - poses[:, [root]] for poses in (seen.joints_3d[ours], exact[theirs])]
    titles = [f"NMPJPE {errors[k]:.0f} mm" for k in shown]
    plot_poses(study.folder / "poses.png", relative[0], seen.skeleton, titles, relative[1])


def run(study: Study) -> None:
    """Makes what is missing, and the tables of what is there."""
    rows: list[dict[str, Any]] = []

    def add(name: str, way: str, values: dict[str, Any]) -> None:
        rows.append({"name": name, "way": way, **values})
        (study.folder / "results.json").write_text(json.dumps(rows, indent=1))
        (study.folder / "results.md").write_text(tables(rows))
        print(name, way, {key: value and round(value, 1) for key, value in values.items()}, flush=True)

    for i in range(study.recordings):
        film(study, i)
    exact: list[Path | None] = [study.recording(i) / "truth.h5" for i in range(study.recordings)]
    made(study.truth, lambda: join(study, study.truth, exact))
    training = split_frames(study.recordings)["train"]
    fifth = [path if i < len(training) / 5 or i not in training else None for i, path in enumerate(exact)]
    made(study.learned("one fifth of the truth"), lambda: join(study, study.learned("one fifth of the truth"), fifth))
    pss = study.folder / "pss.npz"
    made(pss, lambda: pss_fit.run(PssFitOptions(poses=study.truth, out=pss)))
    for kind in LABELS:
        for way in WAYS:
            out = study.labels(kind, way)
            made(out, partial(label_all, study, kind, way, out))
            add(kind, way, measure(study, out, "train"))
    for seed in study.seeds:
        for name in NETWORKS:
            for row, values in learn(study, name, seed):
                add(row, "epitool", values)
    if study.seeds:
        picture(study, study.folder / "runs" / f"SS-{study.seeds[0]}" / "pose.json")
    print((study.folder / "results.md").read_text(), same_poses(study), sep="\n")


def label_all(study: Study, kind: str, way: str, out: Path) -> None:
    """Labels of all recordings, joined."""
    join(study, out, [label(study, i, kind, way) for i in range(study.recordings)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--motion", type=Path, help="poses of h36m17 in clips (.npz); a made-up motion without it")
    parser.add_argument("--recordings", type=int, default=20, help="a multiple of 20 parts them evenly")
    parser.add_argument("--frames", type=int, default=40, help="of each recording, by four cameras")
    parser.add_argument("--size", type=int, default=512, help="of the images, px")
    parser.add_argument("--start-epochs", type=int, default=10, help="in two dimensions, before all else")
    parser.add_argument("--epochs", type=int, default=10, help="of each network")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    given = vars(parser.parse_args())
    os.makedirs(given["folder"], exist_ok=True)  # noqa: PTH103 - a path of argparse
    set_quiet(True)
    run(Study(**{**given, "seeds": tuple(given["seeds"])}))
