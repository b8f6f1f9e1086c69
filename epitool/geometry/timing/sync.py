"""Time offsets between views from the 2D joints alone, before the cameras are calibrated, and their application.

At the right offset, matched joints lie on each other's epipolar lines; at a wrong one, moving joints do not. Every pair
of views is scanned over whole frames, the scans are combined into one offset for each view, and a fit finds the
fractions.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera
from epitool.errors import GeometryError
from epitool.geometry.doubts import Doubt, Kind
from epitool.geometry.timing.offset_fit import PairOffset, fit_offset
from epitool.geometry.timing.offset_scan import CLEAR, contrast, scan_offsets
from epitool.geometry.timing.refusals import require_connected, require_in_reach, unreached
from epitool.geometry.timing.trajectories import without_gaps, without_gross_errors, without_jumps
from epitool.parallel import run_parallel
from epitool.pose import Keypoints

Array = NDArray[np.float64]
Pair = tuple[int, int]
REACH = 30  # default of the largest offset to the first view that is searched, frames
_WHOLE = 1e-9  # frames; offsets this near to a whole number count as whole
_DRIFT_SD, _DRIFT_FRAMES = 5.0, 0.8  # an offset that drifts by more than both limits is refused
_LONG = 150  # frames from which a recording counts as long
_INCONSISTENT_SD, _INCONSISTENT_FRAMES = 4.0, 0.3  # a pair that deviates by more than both limits is left out
_UNSURE = 0.2  # frames of standard deviation from which an offset is doubtful


@dataclass(frozen=True, eq=False)
class TimeOffsets:
    """Offsets of the views' frame numbers to the first view's.

    Attributes:
        offsets: Offsets `(V,)` in frames: view v shows as frame f + offsets[v] what the first view shows as frame f.
        sd: Standard deviations `(V,)`, frames; 0 for the first view.
        pairs: Offset of each pair of views taken alone.
        doubts: Doubts about the offsets; empty where there are none.
    """

    offsets: Array
    sd: Array
    pairs: dict[tuple[str, str], PairOffset]
    doubts: tuple[Doubt, ...]


def synchronized(keypoints: Keypoints, offsets: Sequence[float]) -> Keypoints:
    """Return the keypoints as all views would have shown them at the first view's times.

    View v's keypoints of frame f become those at frame f + offsets[v]. They are exact for whole offsets; otherwise they
    are interpolated linearly between two adjacent frames that both show the joint, with the lower of both confidences,
    and are missing elsewhere. An image is that of the nearest frame, "" where there is none.

    Args:
        keypoints: Keypoints as recorded.
        offsets: Frames per view, `(V,)`.
    """
    names = ("xy", "confidence", "images")
    views = [_shifted(keypoints, v, float(offset)) for v, offset in enumerate(offsets)]
    shifted = {name: np.stack(parts, axis=1) for name, parts in zip(names, zip(*views, strict=True))}
    return replace(keypoints, **shifted, detected_xyz=_nearest_xyz(keypoints, offsets))


def _nearest_xyz(keypoints: Keypoints, offsets: Sequence[float]) -> Array:
    """Return the detector's own 3D `(F, V, J, 3)` for the images that `synchronized` picks; empty if there is none."""
    own = keypoints.detected_xyz
    if not own.size:
        return own
    out = np.full(own.shape, np.nan)
    for v, offset in enumerate(offsets):
        rows, there = _indices(keypoints.frames, keypoints.frames + int(np.floor(offset + 0.5)))
        out[there, v] = own[rows[there], v]
    return out


def _shifted(keypoints: Keypoints, view: int, offset: float) -> tuple[Array, Array, NDArray[np.str_]]:
    """Return joints `(F, J, 2)`, confidences `(F, J)` and images `(F,)` of one view, read at frame + offset."""
    whole = np.rint(offset) if abs(offset - np.rint(offset)) < _WHOLE else np.floor(offset)
    fraction = max(offset - whole, 0.0) if abs(offset - whole) >= _WHOLE else 0.0
    xy, confidence = keypoints.xy[:, view], keypoints.confidence[:, view]
    before, there = _indices(keypoints.frames, keypoints.frames + int(whole))
    after, also = _indices(keypoints.frames, keypoints.frames + int(whole) + (fraction > 0))
    known = there & also
    read = (1 - fraction) * xy[before] + fraction * xy[after]
    lower = np.minimum(confidence[before], confidence[after])
    nearest, shown = _indices(keypoints.frames, keypoints.frames + int(np.floor(offset + 0.5)))
    images = np.where(shown, keypoints.images[nearest, view], "")
    return np.where(known[:, None, None], read, np.nan), np.where(known[:, None], lower, 0.0), images


def _indices(frames: NDArray[np.int64], numbers: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the indices of frame numbers, and whether each number is present."""
    index = np.clip(np.searchsorted(frames, numbers), 0, len(frames) - 1)
    return index, frames[index] == numbers


def estimate_offsets(
    keypoints: Keypoints,
    intrinsics: Sequence[Camera],
    *,
    reach: int = REACH,
    seed: int = 0,
    jobs: int = 1,
) -> TimeOffsets:
    """Estimate each view's time offset to the first view from the joints alone.

    Args:
        keypoints: Keypoints as recorded, of a moving person.
        intrinsics: A camera per view; only K and distortion are used.
        reach: Largest offset of a view to the first that is searched, frames.
        seed: Seed of the random sampling.
        jobs: Number of pairs of views processed in parallel.

    Raises:
        GeometryError: The joints determine no offset (the person hardly moves, views share too little), one is out of
            reach, or views have unequal frame rates.
    """
    _require_successive(keypoints)
    skeleton, views = keypoints.skeleton, keypoints.views
    joints = run_parallel(lambda v: _trajectories(keypoints, v, intrinsics[v]), range(len(views)), jobs)
    tried = np.arange(-2 * reach, 2 * reach + 1)
    pairs = list(itertools.combinations(range(len(views)), 2))
    losses = run_parallel(lambda pair: scan_offsets(joints[pair[0]], joints[pair[1]], tried, skeleton), pairs, jobs)
    scans = {pair: loss for pair, loss in zip(pairs, losses) if contrast(loss) > CLEAR}
    require_in_reach(scans, joints, keypoints, reach)
    require_connected(list(scans), joints, keypoints, reach)
    whole = _agree(scans, len(views), reach)

    def fit(pair: Pair) -> PairOffset | None:
        a, b = pair
        focals = intrinsics[a].focal, intrinsics[b].focal
        try:
            return fit_offset(joints[a], joints[b], focals, float(whole[b] - whole[a]), skeleton, seed)
        except GeometryError:
            return None

    fits = {pair: found for pair, found in zip(scans, run_parallel(fit, list(scans), jobs)) if found is not None}
    require_connected(list(fits), joints, keypoints, reach)
    kept = _consistent(fits, len(views))
    offsets, sd, _ = combine_differences({pair: (fit.offset, fit.sd) for pair, fit in kept.items()}, len(views))
    _require_equal_rates(kept, offsets, keypoints)
    doubts = _doubts(fits, kept, offsets, sd, views, reach)
    return TimeOffsets(offsets, sd, {(views[a], views[b]): found for (a, b), found in fits.items()}, doubts)


def _require_successive(keypoints: Keypoints) -> None:
    """Refuse recordings with skipped frames, because motion is read between successive frames.

    Raises:
        GeometryError: Most frames have no successor.
    """
    if len(keypoints.frames) < 2 or np.median(np.diff(keypoints.frames)) > 1:
        raise GeometryError(
            "most frames have no successor, and time offsets are read from motion between successive frames: "
            "detect joints in every frame"
        )


def _trajectories(keypoints: Keypoints, view: int, camera: Camera) -> Array:
    """Return the joints of one view on the plane z = 1, for every frame number, without gross errors."""
    dense = without_gaps(camera.normalize(keypoints.xy[:, view]), keypoints.frames)
    return without_gross_errors(without_jumps(dense, keypoints.skeleton))


def _agree(scans: dict[Pair, Array], views: int, reach: int) -> NDArray[np.int64]:
    """Return whole offsets `(V,)` of least total loss, by coordinate descent from a tree of the clearest scans."""
    scans = {pair: np.where(np.isnan(loss), np.nanmax(loss), loss) for pair, loss in scans.items()}
    both_ways = scans | {(b, a): loss[::-1] for (a, b), loss in scans.items()}
    middle, allowed = 2 * reach, np.arange(-reach, reach + 1)
    offsets, known = np.zeros(views, dtype=np.int64), {0}

    def best(v: int) -> int:
        near = [u for u in known - {v} if (u, v) in both_ways]
        total = sum(both_ways[u, v][middle + allowed - offsets[u]] for u in near)
        return int(allowed[np.argmin(total)])

    while len(known) < views:
        _, v = max((contrast(loss), b) for (a, b), loss in both_ways.items() if a in known and b not in known)
        offsets[v] = best(v)
        known.add(v)
    for _ in range(views):
        for v in range(1, views):
            offsets[v] = best(v)
    return offsets


def combine_differences(measured: dict[Pair, tuple[float, float]], views: int) -> tuple[Array, Array, Array]:
    """Combine differences of pairs, given as (value, sd), into values of the views by weighted least squares.

    Returns:
        Values `(V,)`, 0 for the first view; their standard deviations `(V,)`, enlarged where the pairs disagree; and
            the error of each pair.
    """
    values, sd = np.array(list(measured.values())).T
    design = np.zeros((len(measured), views))
    for row, (a, b) in zip(design, measured):
        row[[a, b]] = -1.0, 1.0
    weighted = design[:, 1:] / sd[:, None]
    covariance = np.linalg.inv(weighted.T @ weighted)
    combined = np.concatenate([[0.0], covariance @ weighted.T @ (values / sd)])
    error = np.abs(values - design @ combined)
    # reduced chi square of the pairs
    spread = max(1.0, float(((error / sd) ** 2).sum()) / max(1, len(measured) - views + 1))
    return combined, np.concatenate([[0.0], np.sqrt(np.diag(covariance) * spread)]), error


def _consistent(fits: dict[Pair, PairOffset], views: int) -> dict[Pair, PairOffset]:
    """Return the pairs without those that contradict the others, keeping all views connected."""
    kept = dict(fits)
    while True:
        _, _, error = combine_differences({pair: (fit.offset, fit.sd) for pair, fit in kept.items()}, views)
        deviation = error / [fit.sd for fit in kept.values()]
        worst = list(kept)[int(np.argmax(deviation))]
        others = {pair: fit for pair, fit in kept.items() if pair != worst}
        outlying = deviation.max() > _INCONSISTENT_SD and error[np.argmax(deviation)] > _INCONSISTENT_FRAMES
        if not outlying or unreached(list(others), views):
            return kept
        kept = others


def _doubts(
    fits: dict[Pair, PairOffset], kept: dict[Pair, PairOffset], offsets: Array, sd: Array, views: Sequence[str],
    reach: int,
) -> tuple[Doubt, ...]:  # fmt: skip
    """Return the doubts about the offsets."""
    left_out = [
        Doubt(Kind.CONTRADICTED, "warn", (views[a], views[b]), fits[a, b].offset) for a, b in fits if (a, b) not in kept
    ]
    unsure = [Doubt(Kind.OFFSET, "warn", (views[v],), sd[v], _UNSURE) for v in np.flatnonzero(sd > _UNSURE)]
    beyond = np.flatnonzero(np.abs(offsets) > reach)
    at_end = [Doubt(Kind.BEYOND_REACH, "warn", (views[v],), offsets[v], reach) for v in beyond]
    return (*left_out, *unsure, *at_end)


def _require_equal_rates(fits: dict[Pair, PairOffset], offsets: Array, keypoints: Keypoints) -> None:
    """Refuse offsets that change over the recording.

    Raises:
        GeometryError: An offset changes by more than its uncertainty and about a frame.
    """
    drift, sd, _ = combine_differences({pair: (fit.drift, fit.drift_sd) for pair, fit in fits.items()}, len(offsets))
    frames = float(np.ptp([fit.frames for fit in fits.values()]))
    caution = 1.0 if frames >= _LONG else 3.0  # the deviations are underestimated over few frames
    for v in np.argsort(-np.abs(drift)):
        change = drift[v] * frames
        if abs(change) > caution * max(_DRIFT_SD * sd[v] * frames, _DRIFT_FRAMES):
            raise GeometryError(
                f"view {keypoints.views[v]}'s clock runs {abs(drift[v]):.1%} {'fast' if change > 0 else 'slow'} "
                f"against {keypoints.views[0]} (offset goes from {offsets[v] - change / 2:.1f} to "
                f"{offsets[v] + change / 2:.1f} frames): record with equal frame rates, or convert the videos to one"
            )
