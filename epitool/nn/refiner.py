"""Refinement unit (section 3.3): a small network that turns 2D joints and a noisy 3D pose into a better pose.

The paper trains it on motion capture seen by random cameras, and lets it "accept noisy 3D detections". Here its input
is the detected joints, their confidences, and a hint: the volumetric network's pose, the detector's own, or none.
Two networks answer (`refiner_answers`), which `refiner_training` trains with PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from epitool.camera import Array
from epitool.nn.looks import BODY, Looks, described, join_looks, mirrored
from epitool.nn.refiner_answers import Array32, AttentionAnswers, ResidualAnswers, whole
from epitool.nn.tensors import damage_reported, read_plain
from epitool.options.network import UnitOptions

FORMAT = "epitool.refiner/3"
MADE_BY = "epitool refine"
SHIPPED = Path(__file__).with_name("shipped_refiner.pt")
# Bone lengths as detectors find them, by the joint that a bone ends at: medians over rendered people, for a stature of
# 1700.
_SHARES = {
    "hip": 0.052, "knee": 0.222, "ankle": 0.211, "thorax": 0.282, "shoulder": 0.093, "elbow": 0.149, "wrist": 0.133,
}  # fmt: skip
_OF = 1830.0  # mm of which these are shares


@dataclass(frozen=True, eq=False)
class Refiner:
    """Trained refinement unit.

    Attributes:
        weights: The network's `state_dict`, as numpy arrays.
        options: Options that it was built and trained with.
        lengths: Bone lengths of the person whose size its poses are given, by the joint of `BODY` that a bone ends at,
            `(16,)`.
        unit: Unit of these lengths: "mm", or "arbitrary" for a body whose stature is 1700.
        scale_source: How their scale was fixed.
        focal_ratio: Focal length over the longer side of an image, assumed where a camera is not known.
        hint: Kind of hint that it was trained with: "detector", "network" or "none".
        trained_on: Description of its training data.
        recording_id: Recording whose labels it was trained on; "" for motion capture.
        measured: NMPJPE and PMPJPE on held-out frames, in the unit, of this unit and of what it was compared with:
            other units, and the hints by themselves.
        answers_as: Which entry of `measured` is that of this unit; "" if it was not measured.
        doubts: Why the labels that it was trained on were found doubtful; empty if they were not.
    """

    weights: Mapping[str, Array32]
    options: UnitOptions
    lengths: Array
    unit: str
    scale_source: str
    focal_ratio: float
    hint: str
    trained_on: str
    recording_id: str = ""
    measured: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    answers_as: str = ""
    doubts: tuple[str, ...] = ()

    @cached_property
    def _networks(self) -> tuple[ResidualAnswers, AttentionAnswers]:
        parts: dict[str, dict[str, Array32]] = {"residual": {}, "attention": {}}
        for name, values in self.weights.items():
            network, _, layer = name.partition(".")
            parts[network][layer] = values
        return ResidualAnswers(parts["residual"], self.options.width), AttentionAnswers(parts["attention"])

    @cached_property
    def judge(self) -> Refiner:
        """The unit that tells which of several looks at an image are right.

        The answers of a unit that has learned one recording come close to the rays of right and wrong looks alike. So
        the one for everybody judges in its place.
        """
        return load_refiner() if self.recording_id else self

    def check(self) -> None:
        """Raise ValueError, or KeyError for a missing layer, unless the weights are finite and fit together."""
        _ = self._networks

    def answers(self, looks: Looks) -> Array:
        """Return poses `(N, 16, 3)` of about unit size, camera axes, relative to the pelvis; NaN for unusable looks.

        The answers to each look and to its mirror image are averaged, so that both sides of the body are treated alike.
        """
        usable = looks.usable
        out = np.full((len(looks), len(BODY), 3), np.nan)
        seen = looks.at(usable)
        inputs, R, _ = described(join_looks([seen, seen.mirrored()]))
        straight, reflected = np.split(self.infer(inputs).astype(float) @ R, 2)
        out[usable] = 0.5 * (straight + mirrored(reflected, BODY))
        return out

    def infer(self, described: Array32) -> Array32:
        """Return poses `(N, 16, 3)` of about unit size for the features `(N, 97)` of `looks.described`."""
        residual, attention = self._networks
        poses, rows = attention(described), whole(described)
        poses[rows] = 0.5 * (poses[rows] + residual(described[rows]))
        return poses


def load_refiner(path: Path = SHIPPED) -> Refiner:
    """Read `refiner.pt`; by default the one that comes with epitool.

    Raises:
        InputError: There is no such file.
        CheckpointError: It is damaged or another kind of file.
    """
    content = read_plain(path, FORMAT, MADE_BY)
    with damage_reported(path):
        if tuple(content["joints"]) != BODY.joints:
            raise ValueError("its joints are not those of this version")
        refiner = Refiner(
            weights={str(name): np.asarray(values, np.float32) for name, values in content["weights"].items()},
            options=UnitOptions(**content["options"]),
            lengths=np.asarray(content["lengths"], float).reshape(len(BODY)),
            unit=str(content["unit"]),
            scale_source=str(content["scale_source"]),
            focal_ratio=float(content["focal_ratio"]),
            hint=str(content["hint"]),
            trained_on=str(content["trained_on"]),
            recording_id=str(content["recording_id"]),
            measured={str(name): (float(a), float(b)) for name, (a, b) in content["measured"].items()},
            answers_as=str(content.get("answers_as", "")),  # files of earlier versions lack this and the next one
            doubts=tuple(map(str, content.get("doubts", ()))),
        )
        if refiner.unit not in ("mm", "arbitrary") or refiner.hint not in ("detector", "network", "none"):
            raise ValueError(f"unit '{refiner.unit}' or hint '{refiner.hint}'")
        if refiner.answers_as not in ("", *refiner.measured):
            raise ValueError(f"no error is that of '{refiner.answers_as}'")
        refiner.check()
        return refiner


def reference_lengths() -> Array:
    """Return bone lengths `(16,)` of a body of the stature that arbitrary units stand for; NaN for the head."""
    of_kind = {kind: share * _OF for kind, share in _SHARES.items()}
    return np.array([next((mm for kind, mm in of_kind.items() if j.endswith(kind)), np.nan) for j in BODY.joints])
