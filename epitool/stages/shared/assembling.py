"""Assembly of the people found in the images of several views to keypoints of one person and all candidates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epitool.console import say, warn
from epitool.files import writing
from epitool.geometry.people.candidates import Candidates, follow_person, with_choice
from epitool.geometry.people.halves import parts_of_people
from epitool.images import View
from epitool.io.candidates_h5 import add_candidates
from epitool.io.keypoints_h5 import writing_keypoints
from epitool.pose import Keypoints, People
from epitool.skeleton import Skeleton

_PART = 10_000  # number of frames written at a time


@dataclass(frozen=True, eq=False)
class Found:
    """The people found in N images of one view, P of them in all.

    Attributes:
        frames: Frame number of each image `(N,)`, strictly increasing.
        people: Number of people in each image, `(N,)`.
        xy: Joints in pixels `(P, J, 2)`, ordered by image; NaN where missing.
        confidence: Confidence of the joints `(P, J)`, on the detector's own scale.
        xyz: The detector's own 3D joints, as in `People`, `(P, J, 3)` in 16 bits; `(0, J, 3)` if it has none.
    """

    frames: NDArray[np.int64]
    people: NDArray[np.intp]
    xy: NDArray[np.float32]
    confidence: NDArray[np.float32]
    xyz: NDArray[np.float16]


def found_of(images: Mapping[int, tuple[Any, ...]], joints: int) -> Found:
    """Collect what was found, given by frame number in any order.

    Each value holds the fields of `People`, of which the last may be missing.
    """
    frames = sorted(images)
    found = [People(*images[frame]) for frame in frames]
    xy = np.concatenate([np.empty((0, joints, 2)), *(each.xy for each in found)]).astype(np.float32)
    confidence = np.concatenate([np.empty((0, joints)), *(each.confidence for each in found)]).astype(np.float32)
    own = [each.xyz for each in found if each.xyz is not None]
    xyz = np.concatenate([np.empty((0, joints, 3)), *own]).astype(np.float16)
    people = np.array([len(each.xy) for each in found], dtype=np.intp)
    return Found(np.array(frames, dtype=np.int64), people, xy, confidence, xyz)


def join_bodies(found: Found, view: str, body: Skeleton) -> Found:
    """Join the parts of people whom the detector found in several parts, and report their number.

    A person's own 3D joints are left out then, because each part has its own origin.
    """
    seen = np.isfinite(found.xy).all(axis=-1) & (found.confidence > 0)
    whole = parts_of_people(np.where(seen[..., None], found.xy, np.nan), found.people, body)
    part = np.flatnonzero(whole >= 0)
    if not len(part):
        return found
    into = whole[part]
    lacks = seen[part] & ~seen[into]
    xy, confidence, xyz = found.xy.copy(), found.confidence.copy(), found.xyz.copy()
    xy[into] = np.where(lacks[..., None], xy[part], xy[into])
    confidence[into] = np.where(lacks, confidence[part], confidence[into])
    if len(xyz):
        xyz[into] = np.nan
        xyz = np.delete(xyz, part, axis=0)
    image = np.repeat(np.arange(len(found.people)), found.people)
    people = found.people - np.bincount(image[part], minlength=len(found.people))
    say(f"view {view}: {len(part)} people in {len(np.unique(image[part]))} images came in two parts, which are joined")
    return Found(found.frames, people, np.delete(xy, part, axis=0), np.delete(confidence, part, axis=0), xyz)


@dataclass
class Tally:
    """The running counts of keypoints that are processed part by part.

    Attributes:
        views: Names of the V views.
        joints: Number of joints of a person.
        frames: Number of frames.
        images: Number of images of every view, `(V,)`.
        found: Number of images in which a person is found, `(V,)`.
        confidence: Sum of the confidence over the joints of all people found.
    """

    views: tuple[str, ...]
    joints: int
    images: NDArray[np.int64]
    found: NDArray[np.int64]
    frames: int = 0
    confidence: float = 0.0

    @classmethod
    def empty(cls, views: Sequence[str], joints: int) -> Tally:
        """Create a tally without any frames."""
        return cls(tuple(views), joints, *np.zeros((2, len(views)), dtype=np.int64))

    def add(self, keypoints: Keypoints) -> None:
        """Count the next frames."""
        found = np.isfinite(keypoints.xy[..., 0]).any(axis=-1)
        self.frames += len(found)
        self.images += (keypoints.images != "").sum(axis=0)
        self.found += found.sum(axis=0)
        self.confidence += float(keypoints.confidence[found].sum())

    @property
    def mean_confidence(self) -> float:
        """Mean confidence of the joints of all people found; NaN if nobody is found."""
        people = int(self.found.sum())
        return self.confidence / (people * self.joints) if people else np.nan

    def report(self) -> None:
        """Warn of the number of images of each view in which nobody was found."""
        for name, images, found in zip(self.views, self.images, self.found, strict=True):
            if images > found:
                warn(f"view {name}: nobody was found in {images - found} of its {images} images")


class Assembly:
    """The choice of one person among all people found in several views.

    Attributes:
        views: The footage.
        frames: All frame numbers `(F,)`, strictly increasing.
        candidates: All people found.
        choice: Index of the chosen candidate in every frame and view, `(F, V)`; -1 for nobody.
        skeleton: Names and order of the joints.
    """

    def __init__(self, views: Sequence[View], found: Sequence[Found], body: Skeleton) -> None:
        self.views, self.skeleton = views, body
        found = [join_bodies(each, view.name, body) for each, view in zip(found, views, strict=True)]
        self.frames = np.array(sorted({frame for view in views for frame in view.frames}), dtype=np.int64)
        self.candidates = _candidates(found, self.frames)
        self._xyz = np.concatenate([each.xyz for each in found])
        self._has_xyz = len(self._xyz) == len(self.candidates) > 0
        self.choice = follow_person(self.candidates, len(self.frames), len(views), body)
        self._seen = [each.frames for each in found]

    @property
    def anybody(self) -> bool:
        """Whether a person is chosen in any image."""
        there = np.isfinite(self.candidates.xy[..., 0]).any(axis=-1)
        return bool(there[self.choice[self.choice >= 0]].any())

    def write(
        self, out: Path, source: str, *, named: bool = True, take_of: NDArray[np.int64] | None = None,
        split: tuple[int, int] | None = None,
    ) -> Tally:  # fmt: skip
        """Write `keypoints.h5`, and all candidates if any image shows more than one; a failure leaves no partial file.

        Args:
            out: File to write.
            source: Identification of the footage and detector, or program, that the keypoints come from.
            named: Whether the images exist, so that their names are written.
            take_of: Take of every frame, `(F,)`.
            split: Split of the frames, as in `Keypoints.split`.
        """
        tally = Tally.empty([view.name for view in self.views], len(self.skeleton))
        with writing(out) as temporary:
            with writing_keypoints(temporary, len(self.frames), source) as file:
                for start, part in self._parts(named):
                    takes = () if take_of is None else take_of[start : start + _PART]
                    file.append(replace(part, take_of=np.array(takes, dtype=np.int64), split=split))
                    tally.add(part)
            if self.candidates.table(*self.choice.shape).shape[-1] > 1:
                add_candidates(temporary, self.candidates, self._xyz if self._has_xyz else None)
        return tally

    def _parts(self, named: bool) -> Iterator[tuple[int, Keypoints]]:
        """Yield parts of the keypoints with the index of their first frame; at least one part, even without frames."""
        sizes = np.array([view.image_size for view in self.views])
        for start in range(0, max(len(self.frames), 1), _PART):
            frames, choice = self.frames[start : start + _PART], self.choice[start : start + _PART]
            shape = (*choice.shape, len(self.skeleton))
            names = self._names(frames) if named else np.full(choice.shape, "")
            nobody = Keypoints(
                np.full((*shape, 2), np.nan), np.zeros(shape), frames, tuple(view.name for view in self.views),
                names, sizes, self.skeleton,
            )  # fmt: skip
            yield start, replace(with_choice(nobody, self.candidates, choice), detected_xyz=self._xyz_of(choice))

    def _xyz_of(self, choice: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the detector's own 3D joints of the chosen people, `(F, V, J, 3)`; empty if candidates lack them."""
        if not self._has_xyz:
            return np.empty(0)
        own = self._xyz[choice].astype(np.float64)
        own[choice < 0] = np.nan
        return own

    def _names(self, frames: NDArray[np.int64]) -> NDArray[np.str_]:
        """Return the names of the images that could be decoded, `(F, V)`; empty strings for the others."""
        names = np.full((len(frames), len(self.views)), "", dtype=object)
        for v, (view, seen) in enumerate(zip(self.views, self._seen, strict=True)):
            for row in np.flatnonzero(np.isin(frames, seen)):
                names[row, v] = view.image_name(int(frames[row]))
        return names.astype(np.str_)


def _candidates(found: Sequence[Found], frames: NDArray[np.int64]) -> Candidates:
    return Candidates(
        np.concatenate([each.xy for each in found]),
        np.concatenate([each.confidence for each in found]),
        np.searchsorted(frames, np.concatenate([np.repeat(each.frames, each.people) for each in found])),
        np.repeat(np.arange(len(found)), [len(each.xy) for each in found]),
    )
