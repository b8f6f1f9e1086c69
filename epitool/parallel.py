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

    Raises:
        Exception: What the function raised for the first item in order, after all others have ended.
    """
    work = list(items)
    workers = min(jobs, len(work)) if jobs > 0 else jobs

    def attempt(item: Item) -> tuple[Result | None, Exception | None]:
        try:
            return function(item), None
        except Exception as error:  # raised below: no thread may be inside native code when the process ends
            return None, error

    done = Parallel(n_jobs=workers or 1, prefer="threads")(delayed(attempt)(item) for item in work)
    for _, error in done:
        if error is not None:
            raise error
    return [result for result, _ in done]
