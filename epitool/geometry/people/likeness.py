"""How well bones tell people apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_STATURE, _PROPORTION = 0.06, 0.03  # standard deviations of log lengths among people, of all bones together and of each


def body_evidence(weight: Array, total: Array) -> Array:
    """Return the log likelihood `(...)` of measured bones if one body has them, but for a constant of each measurement.

    The likelihood of two pieces of a track as one body, less those of each as a body of its own, are the log odds that
    they are one person's. Log lengths of a body are the usual ones plus one normal deviation common to all bones and
    one of each.

    Args:
        weight: Sums of the weights (inverse variances) of measured log lengths, `(..., B)`; 0 where none is measured.
        total: Sums of weighted log lengths, as deviations from the usual ones, `(..., B)`.
    """
    shrunk = 1 + weight * _PROPORTION**2
    each = ((_PROPORTION * total) ** 2 / shrunk - np.log(shrunk)).sum(axis=-1)
    weights = 1 + _STATURE**2 * (weight / shrunk).sum(axis=-1)
    common = (_STATURE * (total / shrunk).sum(axis=-1)) ** 2 / weights - np.log(weights)
    return 0.5 * (each + common)
