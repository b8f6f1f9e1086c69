"""Reader and writer of `pose.json`: a network's predictions for single images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epitool.io.files import damage_in, read_json, stored_image, usable_image, write_json
from epitool.pose import Predictions
from epitool.skeleton import skeleton_of

_LARGEST = 1e9
PREDICTIONS_BY = "epitool predict"
OF_POSE = ("box", "joints_3d", "joints_2d", "confidence", "facing")  # what is stored of each pose


def read_predictions(path: Path | str) -> Predictions:
    """Read `pose.json`, with image names made valid from the current directory.

    Raises:
        InputError: The file is missing, damaged, of another format, or a pose in it has another shape.
    """
    path = Path(path)
    content = read_json(path, "poses", PREDICTIONS_BY)
    with damage_in(path, "poses", f"make it anew with `{PREDICTIONS_BY}`"):
        skeleton = skeleton_of(content["skeleton"], content["joints"])
        poses = content["poses"]
        return Predictions(
            images=tuple(usable_image(str(pose["image"]), path) for pose in poses),
            boxes=_stack(poses, "box", (4,)),
            joints_3d=_stack(poses, "joints_3d", (len(skeleton), 3)),
            joints_2d=_stack(poses, "joints_2d", (len(skeleton), 2)),
            confidence=_stack(poses, "confidence", (len(skeleton),)),
            skeleton=skeleton,
            unit=content["unit"],
            provenance={str(key): str(value) for key, value in content["provenance"].items()},
            facing=_stack([{"facing": None} | pose for pose in poses], "facing", ()),  # earlier files lack it
        )


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write `pose.json`, with image paths relative to it and all numbers rounded to three decimals."""
    poses = [
        {"image": stored_image(image, path), **pose_values(predictions, i)}
        for i, image in enumerate(predictions.images)
    ]
    content = {"format": "epitool.poses/1", **described(predictions), "poses": poses}
    write_json(path, content)


def described(predictions: Predictions) -> dict[str, Any]:
    """Return what holds for all poses, as plain values: the joints, unit, space and provenance."""
    return {
        "skeleton": predictions.skeleton.name,
        "joints": list(predictions.skeleton.joints),
        "unit": predictions.unit,
        "space": "root-relative, camera axes",
        "provenance": predictions.provenance,
    }


def pose_values(predictions: Predictions, i: int) -> dict[str, Any]:
    """Return pose number `i` as plain values, with all numbers rounded to three decimals and None where missing."""
    values = (
        predictions.boxes, predictions.joints_3d, predictions.joints_2d, predictions.confidence, predictions.facing,
    )  # fmt: skip
    return {key: _round_values(np.asarray(of_all[i])) for key, of_all in zip(OF_POSE, values, strict=True)}


def _stack(poses: list[dict[str, Any]], key: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    values = [np.array(pose[key], dtype=float) for pose in poses]  # None becomes NaN
    wrong = [i for i, value in enumerate(values) if value.shape != shape]
    if wrong:
        raise ValueError(f"'{key}' of pose {wrong[0]} has shape {values[wrong[0]].shape}, expected {shape}")
    stacked = np.array(values).reshape(len(poses), *shape)
    if (np.abs(np.where(np.isnan(stacked), 0, stacked)) > _LARGEST).any():
        raise ValueError(f"'{key}' holds numbers that are of no pose and no image")
    return stacked


def _round_values(values: NDArray[np.float64]) -> Any:
    rounded = np.asarray(np.round(values, 3), dtype=object)
    rounded[~np.isfinite(values)] = None
    return rounded.tolist()
