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


# Without numba's runtime (`_nrt`) arrays are not reference counted; without rewrites array expressions are not fused.
# Loops over numbers need neither: they compile a tenth faster, and robust triangulation takes two thirds of the time.
# numba refuses to compile such a function if it allocates memory. Nothing calls the functions from C.
_ANY: dict[str, Any] = {"error_model": "numpy", "nogil": True, "no_cfunc_wrapper": True}
_LEAN: dict[str, Any] = {**_ANY, "_nrt": False, "no_rewrites": True}


def compiled(function: _Function) -> _Function:
    """Mark a loop that Python calls: numba compiles it for the first call and keeps it in the user's cache folder.

    It allocates no memory and returns no array: Python passes the arrays in. Each such function costs some 10 ms to
    load.
    """
    marked: Any = njit(cache=True, **_LEAN)(function)
    return marked


def compiled_allocating(function: _Function) -> _Function:
    """Mark a loop that Python calls and that makes arrays; it compiles and runs more slowly than `compiled`."""
    marked: Any = njit(cache=True, **_ANY)(function)
    return marked


def formula(function: _Function) -> _Function:
    """Mark a function that compiled loops call: it is compiled with each of them; Python calls it as it is.

    It allocates no memory and returns no array.
    """
    marked: _Function = register_jitable(**_LEAN)(function)
    return marked


def formula_allocating(function: _Function) -> _Function:
    """Mark a function that makes arrays and that `compiled_allocating` loops call; otherwise it is a `formula`."""
    marked: _Function = register_jitable(**_ANY)(function)
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
