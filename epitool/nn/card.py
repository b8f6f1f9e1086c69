"""Description of a trained network besides its weights; this module does not need torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Array
from epitool.nn.crops import STANDARD_CROPS, CropConvention, bones
from epitool.options.network import NetworkOptions
from epitool.skeleton import Skeleton, skeleton_of


@dataclass(frozen=True, eq=False)
class ModelCard:
    """Joints, conventions and origin of a trained network.

    Attributes:
        options: Options that it was built and trained with.
        skeleton: Skeleton of its joints.
        trained: Which of the joints it has learned, `(J,)`.
        bone_lengths: Lengths of `crops.bones(skeleton)` in training, `(B,)`; NaN where never seen.
        focal_ratio: Focal length over the longer side of the training images.
        unit: "mm" or "arbitrary".
        scale_source: How metric scale was fixed, or "none".
        recording_id: Recording of the labels that it was trained on.
        epoch: Epoch after which it was saved, counted from 1.
        val_error: Error on the validation part: NMPJPE in the unit, or the error of x and y in percent of the box for a
            network that learned only these; NaN where not known.
        sharpness: Mean sharpness of its heatmaps on the validation part, see `soft_argmax`.
        convention: Convention of its crops.
        doubts: Why the labels that it was trained on were found doubtful; empty if they were not.
        mean_pose_error: As `val_error`, of always answering the mean of the training part; NaN where not known.
    """

    options: NetworkOptions
    skeleton: Skeleton
    trained: NDArray[np.bool_]
    bone_lengths: Array
    focal_ratio: float
    unit: str
    scale_source: str
    recording_id: str
    epoch: int
    val_error: float
    sharpness: float
    convention: CropConvention = STANDARD_CROPS
    doubts: tuple[str, ...] = ()
    mean_pose_error: float = np.nan

    def confidence(self, sharpness: Array) -> Array:
        """Return the confidence in joints `(N, J)` from the sharpness of their heatmaps `(N, J)`.

        It is 0.8 if a heatmap's variance is that of the validation part, and 0.5 if the variance is four times that.
        Training constrains only the mean of a heatmap, so confidence orders the joints of one network and is no
        probability. A network can be equally confident in an image without a person.
        """
        # The spread is a heatmap's variance over that of a uniform one; this inverts the sharpness of `soft_argmax`.
        spread, expected = (1 / np.maximum(s, 1e-12) - 1 for s in (sharpness, np.asarray(self.sharpness)))
        return 1 / (1 + np.maximum(spread, 0) / (4 * np.maximum(expected, 1e-6)))

    @property
    def scale_rule(self) -> str:
        """Description of what fixes the size of its poses where the depth of the root is not given."""
        if self.convention.box_size is not None:
            return f"the box is taken as {self.convention.box_size:g} {self.unit} wide at the root's depth"
        return "bone lengths of the training labels" if np.isfinite(self.bone_lengths).any() else "none"

    def to_plain(self) -> dict[str, Any]:
        """Return the card as values that JSON can store; unknown numbers are null."""
        plain = {name: value for name, value in vars(self).items() if name != "skeleton"}
        return plain | {
            "options": asdict(self.options),
            "skeleton": self.skeleton.name,
            "joints": list(self.skeleton.joints),
            "trained": self.trained.tolist(),
            "bone_lengths": [_replace_nan(length) for length in self.bone_lengths.tolist()],
            "val_error": _replace_nan(self.val_error),
            "mean_pose_error": _replace_nan(self.mean_pose_error),
            "convention": asdict(self.convention),
            "doubts": list(self.doubts),
        }

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> ModelCard:
        """Return the card from the result of `to_plain`; other keys are ignored.

        Raises:
            KeyError, TypeError, ValueError: A value is missing or invalid.
            UsageError: The options are invalid.
        """
        skeleton = skeleton_of(content["skeleton"], content["joints"])
        lengths = [_replace_none(length) for length in content["bone_lengths"]]
        options: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content["options"].items()}
        return cls(
            options=NetworkOptions(**options),
            skeleton=skeleton,
            trained=np.array(content["trained"], dtype=bool).reshape(len(skeleton)),
            bone_lengths=np.array(lengths).reshape(len(bones(skeleton))),
            focal_ratio=float(content["focal_ratio"]),
            unit=str(content["unit"]),
            scale_source=str(content["scale_source"]),
            recording_id=str(content["recording_id"]),
            epoch=int(content["epoch"]),
            val_error=_replace_none(content["val_error"]),
            sharpness=float(content["sharpness"]),
            convention=CropConvention(**content["convention"]),
            # files of earlier versions lack these
            doubts=tuple(map(str, content.get("doubts", ()))),
            mean_pose_error=_replace_none(content.get("mean_pose_error")),
        )


def _replace_nan(number: float) -> float | None:
    return number if np.isfinite(number) else None


def _replace_none(number: float | None) -> float:
    return np.nan if number is None else float(number)
