"""The low-pass filter that biomechanics uses: Butterworth, forwards and backwards."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from epitool.geometry.motion.gaps import runs

Array = NDArray[np.float64]
ORDER = 4  # in total: a filter of the second order in each direction
_PASSES = 2
_LEAST = 13  # frames: fewer than four times the filter's order are too few to reflect at the ends


def butterworth(xyz: Array, cutoff_hz: float, fps: float) -> tuple[Array, int]:
    """Joints over time without what is faster than the cutoff, and without delay.

    The filter runs forwards and backwards, so each direction has half of the order, and a cutoff that is raised such
    that both together let 1/sqrt(2) of the cutoff's amplitude pass (3 dB), as textbooks of biomechanics correct it.

    Args:
        xyz: `(F, J, 3)` of frames that follow each other; NaN where missing.
        cutoff_hz: Under half of `fps`.
        fps: Frames per second.

    Returns:
        The filtered joints, and how many places stayed as they were, in runs of under 13 frames between gaps.
        Gaps stay gaps, and what is on one side of one does not count on the other.

    Raises:
        ValueError: The cutoff is not between 0 and half of the frame rate.
    """
    if not 0 < cutoff_hz < fps / 2:
        raise ValueError(f"a cutoff of {cutoff_hz:g} Hz is not between 0 and half of {fps:g} frames per second")
    order = ORDER // _PASSES
    correction = (2 ** (1 / _PASSES) - 1) ** (1 / (2 * order))
    # The correction holds for analog frequencies, which the bilinear transform bends.
    corner = np.arctan(np.tan(np.pi * cutoff_hz / fps) / correction) * fps / np.pi
    sections = butter(order, corner, fs=fps, output="sos")
    out, left = xyz.copy(), 0
    for j in range(xyz.shape[1]):
        for start, stop in runs(np.isfinite(xyz[:, j]).all(axis=-1)):
            if stop - start < _LEAST:
                left += stop - start
                continue
            pad = min(stop - start - 1, int(np.ceil(fps / cutoff_hz)) * 3)
            out[start:stop, j] = sosfiltfilt(sections, xyz[start:stop, j], axis=0, padlen=pad)
    return out, left
