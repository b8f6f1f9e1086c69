"""What was found in the images of several views, put together to keypoints of one person and all candidates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epitool.console import warn
from epitool.files import writing
from epitool.geometry.people import Candidates, follow, with_choice
from epitool.images import View
from epitool.io.candidates import add_candidates
from epitool.io.labels import write_keypoints
from epitool.pose import Keypoints
from epitool.skeleton import Skeleton

Array = NDArray[np.float64]
People = tuple[Array, Array]  # joints (P, J, 2) and confidence (P, J) in one image


def assemble(
    views: Sequence[View], found: Sequence[dict[int, People]], body: Skeleton
) -> tuple[Keypoints, Candidates | None]:
    """Keypoints of one person, and all candidates where an image shows more than one."""
    frames = sorted({frame for view in views for frame in view.frames})
    rows = {frame: i for i, frame in enumerate(frames)}
    images = np.full((len(frames), len(views)), "", dtype=object)
    for v, (view, detected) in enumerate(zip(views, found, strict=True)):
        for frame in detected:
            images[rows[frame], v] = view.image_name(frame)
        if len(detected) < len(view.frames):
            warn(f"view {view.name}: only {len(detected)} of its {len(view.frames)} frames could be decoded")
    candidates = _candidates(found, rows, len(body))
    shape = (len(frames), len(views), len(body))
    sizes = np.array([view.image_size for view in views])
    nobody = Keypoints(
        np.full((*shape, 2), np.nan), np.zeros(shape), np.array(frames), tuple(view.name for view in views),
        images.astype(np.str_), sizes, body,
    )  # fmt: skip
    choice = follow(candidates, len(frames), len(views), body)
    several = candidates.table(len(frames), len(views)).shape[-1] > 1
    return with_choice(nobody, candidates, choice), candidates if several else None


def _candidates(found: Sequence[dict[int, People]], rows: dict[int, int], joints: int) -> Candidates:
    people = [
        (xy, confidence, rows[frame], v)
        for v, detected in enumerate(found)
        for frame, image in sorted(detected.items())
        for xy, confidence in zip(*image, strict=True)
    ]
    if not people:
        none = np.zeros(0, dtype=np.intp)
        return Candidates(np.zeros((0, joints, 2)), np.zeros((0, joints)), none, none)
    xy, confidence, frame_index, view_index = (np.array(each) for each in zip(*people, strict=True))
    return Candidates(xy, confidence, frame_index, view_index)


def report_people(keypoints: Keypoints) -> None:
    """Says in how many images of a view nobody was found."""
    found = np.isfinite(keypoints.xy[..., 0]).any(axis=-1)
    there = keypoints.images != ""
    for v, name in enumerate(keypoints.views):
        missing = int((there[:, v] & ~found[:, v]).sum())
        if missing:
            warn(f"view {name}: nobody was found in {missing} of its {int(there[:, v].sum())} images")


def write_people(out: Path, keypoints: Keypoints, candidates: Candidates | None, source: str) -> None:
    """Writes `keypoints.h5` with the candidates, whole or not at all."""
    with writing(out) as temporary:
        write_keypoints(temporary, keypoints, source)
        if candidates:
            add_candidates(temporary, candidates)
