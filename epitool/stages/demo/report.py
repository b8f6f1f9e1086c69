"""Results of the demo: pictures, figures and `report.md`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from epitool.camera import Rig
from epitool.errors import GeometryError
from epitool.files import writing
from epitool.geometry.body.scale import distance_between, stature, usual_extent
from epitool.geometry.calibration.compare import compare_rigs
from epitool.images import Image, read_images
from epitool.io.cameras import read_windows
from epitool.io.labels_h5 import open_everyone, read_labels
from epitool.io.predictions import read_predictions
from epitool.labels import Labels
from epitool.metrics import pmpjpe, procrustes
from epitool.names import image_key
from epitool.pose import Poses, Predictions
from epitool.skeleton import Skeleton
from epitool.stages.shared.steps import Step

Array = NDArray[np.float64]
_CROP = 480  # px
_UP = np.array([0.0, 0.0, 1.0])
_RANKS = {1: "the only answer", 2: "best and worst answers", 3: "best, median and worst answers"}


def write_report(
    folder: Path, title: str, steps: list[Step], reference: Rig | None, truth: str | None
) -> tuple[str, dict[str, Any]]:
    """Write pictures and `report.md` into the demo's folder.

    Args:
        folder: Folder with the files of the commands.
        title: Description of the footage.
        steps: Commands that were run.
        reference: Cameras known from another source.
        truth: Name of labels with the exact truth.

    Returns:
        Figures as text, and as plain values.
    """
    labels, (cameras,) = read_labels(folder / "labels.h5"), read_windows(folder / "cameras.toml")
    exact = read_labels(folder / truth) if truth else None
    values = _figures(labels, cameras.rig, reference, exact)
    values["metrics"] = json.loads((folder / "metrics.json").read_bytes())["rows"]
    pictures = _pictures(folder, labels, cameras.statistics.get("up") == "people")
    tables = [f"{_title(step)}\n{step.said}\n" for step in steps if step.command.startswith("epitool evaluate")]
    text = "\n".join([*_lines(values), "", *tables])
    lines = [f"# epitool demo: {title}", "", "## Figures", "", *(f"- {line}" for line in _lines(values)), ""]
    for step in steps:
        lines += [f"`{step.command}` ({step.seconds:.0f} s)", "", "```", step.said, "```", ""]
    lines += ["## Pictures", "", *(f"![{caption}]({path})\n\n{caption}\n" for path, caption in pictures)]
    if not any(path.endswith("/poses.png") for path, _ in pictures):
        lines.append("predictions from one image: n/a, as no image kept for the test has both one and a label")
    with writing(folder / "report.md") as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")
    return text, values


def _title(evaluation: Step) -> str:
    """Return the heading of a table of `evaluate`."""
    if "--truth" not in evaluation.command:
        return "POSES FROM SINGLE IMAGES, against the triangulated labels, on frames kept from training:"
    what = "TRIANGULATED LABELS" if "--predictions labels.h5" in evaluation.command else "POSES FROM SINGLE IMAGES"
    return f"{what}, against the exact truth:"


def _figures(labels: Labels, rig: Rig, reference: Rig | None, exact: Labels | None) -> dict[str, Any]:
    """Return the reprojection error, body lengths and, if a reference or the truth is known, differences from it."""
    poses = labels.poses
    lengths = {"shoulders": distance_between(poses, "left_shoulder", "right_shoulder")}
    for side in ("left", "right"):
        lengths[f"{side} femur"] = distance_between(poses, f"{side}_hip", f"{side}_knee")
    values: dict[str, Any] = {
        "unit": rig.unit,
        "scale_source": rig.scale_source,
        "median_reprojection_px": float(np.nanmedian(labels.reprojection_px)),
        "stature": _stature(poses),
        "lengths": {name: _median_and_sd(distances) for name, distances in lengths.items()},
    }
    if reference:
        values["pairs"] = [vars(pair) for pair in compare_rigs(rig, reference)]
    if exact:
        values["label_error_after_similarity_mm"] = _error_after_similarity(labels, exact)
    return values


def _stature(poses: Poses) -> float | None:
    """Return the person's stature; None if the legs or the head are never seen, as in footage of the upper body."""
    try:
        return stature(poses)
    except GeometryError:
        return None


def _median_and_sd(distances: Array) -> dict[str, float] | None:
    """Return the median and standard deviation over the frames `(F,)`; None if the distance is never known."""
    if not np.isfinite(distances).any():
        return None
    return {"median": float(np.nanmedian(distances)), "sd": float(np.nanstd(distances))}


def _error_after_similarity(labels: Labels, exact: Labels) -> dict[str, float]:
    """Return the distance of all joints from the truth after one similarity transform of the whole recording."""
    ours, true = labels.poses.xyz.reshape(-1, 3), exact.poses.xyz.reshape(-1, 3)
    both = np.isfinite(ours).all(axis=-1) & np.isfinite(true).all(axis=-1)
    distance = np.linalg.norm(procrustes(ours[both], true[both])(ours[both]) - true[both], axis=-1)
    return {"mean": float(distance.mean()), "median": float(np.median(distance))}


def _lines(values: dict[str, Any]) -> list[str]:
    unit = "mm" if values["unit"] == "mm" else "units of a body of stature 1700"
    lines = [f"scale: {values['scale_source']}; median reprojection error {values['median_reprojection_px']:.1f} px"]
    lengths = [
        f"{name} {d['median']:.0f} +- {d['sd']:.0f}" if d else f"{name} n/a (never seen)"
        for name, d in values["lengths"].items()
    ]
    lines.append(f"body, median +- standard deviation over frames, {unit}: {', '.join(lengths)}")
    for pair in values.get("pairs", []):
        if pair["consecutive"]:
            angles = f"rotation {pair['rotation_deg']:.1f}, direction {pair['direction_deg']:.1f} degrees"
            lines.append(f"{' and '.join(pair['views'])}: {angles} from the cameras known otherwise")
    error = values.get("label_error_after_similarity_mm")
    if error:
        lines.append(f"labels after one similarity: mean {error['mean']:.1f} mm, median {error['median']:.1f} mm")
    return lines


def _pictures(folder: Path, labels: Labels, levelled: bool) -> list[tuple[str, str]]:
    """Draw the recording's pictures; return (path relative to the folder, caption) of each."""
    from epitool.viz.geometry import plot_epipolar_lines, plot_residuals
    from epitool.viz.overlay import save_image
    from epitool.viz.plots import plot_learning_curve
    from epitool.viz.poses3d import plot_poses
    from epitool.viz.rigs import plot_rig

    (folder / "pictures").mkdir(exist_ok=True)
    skeleton, rig, xyz = labels.poses.skeleton, labels.rig, labels.poses.xyz
    middle = len(xyz) // 2
    images = _images_of_frame(labels, middle)
    drawn: list[tuple[str, str]] = []

    def picture(name: str, caption: str) -> Path:
        drawn.append((f"pictures/{name}.png", caption))
        return folder / "pictures" / f"{name}.png"

    save_image(picture("views", "2D joints in all views, sides put right"), _views(labels, middle, images))
    with open_everyone(folder / "labels.h5") as everyone:
        people = [person.read().poses.xyz for person in everyone]
    who = "the person" if len(people) == 1 else f"the {len(people)} people"
    up = _UP if levelled else None
    plot_rig(picture("cameras", f"cameras and {who} between them"), rig, people, skeleton, up)
    plot_residuals(picture("residuals", "reprojection error by joint and view"), labels)
    first, second = images[:2]
    if first is not None and second is not None:
        path = picture("epipolar", "epipolar lines of the joints of one view in the next")
        xy = labels.keypoints.xy[middle, :2]
        plot_epipolar_lines(path, (rig.cameras[0], rig.cameras[1]), (first, second), xy, skeleton)
    log = [json.loads(line) for line in (folder / "runs/default/log.jsonl").read_text().splitlines()]
    plot_learning_curve(picture("learning", "training and validation"), log, rig.unit)
    answers = _test_answers(folder, labels)
    if answers:
        caption = f"{_RANKS[len(answers)]} to one image (PMPJPE), of frames kept for the test: the joints seen"
        save_image(picture("images", caption), _overlays(answers))
        caption = "the same in 3D (colour), and the labels (grey)"
        posed, true = np.array([one.pose for one in answers]), np.array([one.truth for one in answers])
        plot_poses(picture("poses", caption), posed, skeleton, [one.title for one in answers], true, rig.unit)
    return drawn


def _images_of_frame(labels: Labels, frame: int) -> list[Image | None]:
    names = labels.keypoints.images[frame].tolist()
    known = [v for v, name in enumerate(names) if name]
    images: list[Image | None] = [None] * len(names)
    for i, image in read_images([names[v] for v in known]):
        images[known[i]] = image
    return images


def _views(labels: Labels, frame: int, images: list[Image | None]) -> Image:
    from epitool.viz.overlay import draw_pose, tile

    keypoints = labels.keypoints
    shown = [
        draw_pose(image, keypoints.xy[frame, v], keypoints.skeleton, keypoints.confidence[frame, v])
        for v, image in enumerate(images)
        if image is not None
    ]
    sheet = tile(shown, len(shown))
    scale = min(1.0, 1600 / sheet.shape[1])
    size = (round(sheet.shape[1] * scale), round(sheet.shape[0] * scale))
    return np.asarray(cv2.resize(sheet, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


@dataclass(frozen=True, eq=False)
class _Answer:
    """The prediction for an image, and its label `(J, 3)`, both root-relative."""

    image: str
    box: Array
    xy: Array
    confidence: Array
    pose: Array
    truth: Array
    error: float
    title: str
    skeleton: Skeleton


def _test_answers(folder: Path, labels: Labels) -> list[_Answer]:
    """Return the best, median and worst prediction of the test part by PMPJPE; fewer if few have a pose and a label."""
    predictions = read_predictions(folder / "pose.json")
    place = {image_key(name): i for i, name in enumerate(predictions.images)}
    root, found = labels.poses.skeleton.root, []
    in_cameras = labels.in_cameras
    factor, unit = _size_factor(predictions, labels), "mm" if labels.rig.unit == "mm" else "units"
    for f in labels.parts["test"].tolist():
        for v, view in enumerate(labels.rig.names):
            i = place.get(image_key(str(labels.keypoints.images[f, v])), -1)
            truth = in_cameras[f, v] - in_cameras[f, v, root]
            if i < 0 or not np.isfinite(truth[root]).all():
                continue
            pose = predictions.joints_3d[i] * factor
            error = float(pmpjpe(pose, truth, root))
            title = f"{view}, frame {labels.poses.frames[f]}: {error:.0f} {unit}"
            found.append(
                _Answer(
                    predictions.images[i], predictions.boxes[i], predictions.joints_2d[i], predictions.confidence[i],
                    pose, truth, error, title, predictions.skeleton,
                )
            )  # fmt: skip
    ranked = sorted((one for one in found if np.isfinite(one.error)), key=lambda one: one.error)
    return [ranked[i] for i in sorted({0, len(ranked) // 2, len(ranked) - 1})] if ranked else []


def _size_factor(predictions: Predictions, labels: Labels) -> float:
    """Return the factor that makes predicted bodies as large as the labels', to be drawn over them."""
    if predictions.unit == labels.rig.unit:
        return 1.0
    return usual_extent(labels.poses.xyz) / usual_extent(predictions.joints_3d)


def _overlays(answers: list[_Answer]) -> Image:
    """Return crops of the people in the images, with their visible joints drawn."""
    from epitool.nn.crops import crop_image, enlarged
    from epitool.viz.overlay import draw_pose, tile

    shown = []
    images = dict(read_images([one.image for one in answers]))
    for i, one in enumerate(answers):
        box = enlarged(one.box, 1.1)
        crop = crop_image(images[i], box, _CROP)
        shown.append(draw_pose(crop, (one.xy - box[:2]) * _CROP / box[2], one.skeleton, one.confidence))
    return tile(shown, len(shown))
