"""The low-pass filter of biomechanics: Butterworth, forwards and backwards."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epitool.geometry.motion.gaps import runs

Array = NDArray[np.float64]
ORDER = 4  # in total: a filter of the second order in each direction
_PASSES = 2
_LEAST = 13  # frames; fewer are too few to reflect the signal at its ends


def butterworth(xyz: Array, cutoff_hz: float, fps: float) -> tuple[Array, int]:
    """Low-pass filter joints over time without delay.

    The filter runs forwards and backwards, so each direction has half of the order. The cutoff of each is raised so
    that both together pass 1/sqrt(2) of the amplitude at `cutoff_hz` (3 dB), a correction found in textbooks of
    biomechanics.

    Args:
        xyz: Joints `(F, J, 3)` in consecutive frames; NaN where missing.
        cutoff_hz: Cutoff frequency, below half of `fps`.
        fps: Frames per second.

    Returns:
        The filtered joints, and the number of places left unchanged in runs of under 13 frames between gaps. Gaps stay
        gaps, and the runs on both sides of a gap are filtered separately.

    Raises:
        ValueError: The cutoff is not between 0 and half of the frame rate.
    """
    from scipy.signal import butter, sosfiltfilt  # slow to import, and `convert` seldom filters

    if not 0 < cutoff_hz < fps / 2:
        raise ValueError(f"a cutoff of {cutoff_hz:g} Hz is not between 0 and half of {fps:g} frames per second")
    order = ORDER // _PASSES
    correction = (2 ** (1 / _PASSES) - 1) ** (1 / (2 * order))
    # The correction holds for analog frequencies, which the bilinear transform warps: hence the tangents.
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
