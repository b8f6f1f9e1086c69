"""The one place where work is spread over the cores."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from joblib import Parallel, delayed

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_parallel(function: Callable[[Item], Result], items: Iterable[Item], jobs: int) -> list[Result]:
    """Applies a function to every item, results in the items' order whatever the number of jobs.

    Threads, because the work is done by numpy, OpenCV and mediapipe outside Python's lock.

    Args:
        function: May be a closure.
        items: What to apply it to.
        jobs: How many at a time; -1 for one per core. With 1 all is done in this thread, one after the other.
    """
    work = list(items)
    workers = min(jobs, len(work)) if jobs > 0 else jobs
    return list(Parallel(n_jobs=workers or 1, prefer="threads")(delayed(function)(item) for item in work))
