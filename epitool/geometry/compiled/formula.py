"""Marks of functions that numba compiles, and copies of small arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import config, njit
from numba.extending import register_jitable
from numpy.typing import NDArray
from platformdirs import user_cache_path

# Unless the user says where (NUMBA_CACHE_DIR), compiled functions are kept in the user's cache folder, because files
# beside the sources would remain after the package is uninstalled.
_config: Any = config  # whose settings type checkers do not know
_config.CACHE_DIR = _config.CACHE_DIR or str(user_cache_path("epitool") / "numba")

Array = NDArray[np.float64]
Number = TypeVar("Number", float, Array)  # a number or an array of numbers
_Function = TypeVar("_Function", bound=Callable[..., object])


def compiled(function: _Function) -> _Function:
    """Mark a loop that Python calls: numba compiles it for the first call and keeps it in the user's cache folder.

    Each such function costs some 10 ms to load, and what it allocates compiles slowly: Python passes the arrays in.
    """
    marked: Any = njit(cache=True, nogil=True, error_model="numpy")(function)
    return marked


def formula(function: _Function) -> _Function:
    """Mark a function that compiled loops call: it is compiled with each of them; Python calls it as it is."""
    marked: _Function = register_jitable(error_model="numpy", nogil=True, no_cfunc_wrapper=True)(function)
    return marked


@formula
def copy(values: Array, out: Array) -> None:
    """Do `out[:] = values`, which for few values is many times faster and compiles in a tenth of the time."""
    for k in range(len(values)):
        out[k] = values[k]


@formula
def copy_matrix(values: Array, out: Array) -> None:
    """Copy a matrix `(m, n)`, as `copy` does."""
    for k in range(len(values)):
        copy(values[k], out[k])
