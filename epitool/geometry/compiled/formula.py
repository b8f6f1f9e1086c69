"""How functions are marked that compiled loops and Python share, and copies of small arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numba import njit
from numba.extending import register_jitable
from numpy.typing import NDArray

Array = NDArray[np.float64]
Number = TypeVar("Number", float, Array)  # or an array of them
_Function = TypeVar("_Function", bound=Callable[..., object])


def formula(function: _Function) -> _Function:
    """Marks a function of numbers: from Python it is called as it is, from compiled loops it is a part of them."""
    marked: _Function = register_jitable(error_model="numpy", nogil=True)(function)
    return marked


@njit(cache=True, nogil=True, error_model="numpy")
def copy(values: Array, out: Array) -> None:
    """As `out[:] = values`, for few values many times faster, and compiled in a tenth of the time."""
    for k in range(len(values)):
        out[k] = values[k]


@njit(cache=True, nogil=True, error_model="numpy")
def copy_matrix(values: Array, out: Array) -> None:
    """`copy` of `(m, n)`."""
    for k in range(len(values)):
        copy(values[k], out[k])
