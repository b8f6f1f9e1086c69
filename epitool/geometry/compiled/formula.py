"""Marker for functions shared by compiled loops and Python, and copies of small arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numba import njit
from numba.extending import register_jitable
from numpy.typing import NDArray

Array = NDArray[np.float64]
Number = TypeVar("Number", float, Array)  # a number or an array of numbers
_Function = TypeVar("_Function", bound=Callable[..., object])


def formula(function: _Function) -> _Function:
    """Mark a function of numbers: Python calls it as it is, and compiled loops inline it."""
    marked: _Function = register_jitable(error_model="numpy", nogil=True)(function)
    return marked


@njit(cache=True, nogil=True, error_model="numpy")
def copy(values: Array, out: Array) -> None:
    """Do `out[:] = values`, which for few values is many times faster and compiles in a tenth of the time."""
    for k in range(len(values)):
        out[k] = values[k]


@njit(cache=True, nogil=True, error_model="numpy")
def copy_matrix(values: Array, out: Array) -> None:
    """Copy a matrix `(m, n)`, as `copy` does."""
    for k in range(len(values)):
        copy(values[k], out[k])
