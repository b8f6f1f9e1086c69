"""The one place where work is spread over the cores, or over a Dask cluster."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from joblib import Parallel, delayed, effective_n_jobs

from epitool.errors import EpitoolError, UsageError

Item = TypeVar("Item")
Result = TypeVar("Result")
Outcome = tuple[Result | None, Exception | None]
_WAVE_PER_WORKER, _LARGEST_WAVE = 4, 32  # items that are at work together; more would fill the memory
_cluster: ContextVar[Any] = ContextVar("_cluster", default=None)  # Dask's client, inside of `backend("dask")`


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
    return _results(list(_start(function, work, min(jobs, len(work)) if jobs > 0 else jobs)))


def stream_parallel(function: Callable[[Item], Result], items: Iterable[Item], jobs: int) -> Iterator[Result]:
    """As `run_parallel`, for more items than the memory holds: drawn, and results yielded, while the work goes on.

    At any time at most two waves of items, of a few per worker, and their results are alive. The next items are
    drawn, and the last results consumed, while the present wave is at work.

    Args:
        function: May be a closure; on a Dask cluster it and the items are pickled.
        items: What to apply it to.
        jobs: How many at a time; -1 for one per core. A Dask cluster decides by itself.

    Raises:
        Exception: What the function raised for the first item in order, after its wave and the next have ended.
        EpitoolError: The cluster has ended, or its workers were killed again and again.
    """
    if cluster := _cluster.get():
        function, jobs = _sent_to(cluster, function), _LARGEST_WAVE
    draw, size = iter(items), min(_WAVE_PER_WORKER * effective_n_jobs(jobs or 1), _LARGEST_WAVE)
    running: Iterator[Outcome[Result]] = iter(())
    try:
        while wave := list(itertools.islice(draw, size)):
            finished = _results(list(running))
            running = _start(function, wave, jobs)
            del wave
            while finished:
                yield finished.pop(0)
        yield from _results(list(running))
    finally:
        for _ in running:  # no thread may be inside native code when the process ends
            pass


def drawn_ahead(items: Iterable[Item], depth: int = 2) -> Iterator[Item]:
    """Draws items in a thread of its own, so that the next ones are ready when the last has been used.

    Args:
        items: Drawn by one thread, in order.
        depth: How many are drawn ahead at the most.

    Raises:
        Exception: What drawing raised, in its turn.
    """
    draw, end = iter(items), object()
    with ThreadPoolExecutor(1) as thread:
        ahead = deque(thread.submit(next, draw, end) for _ in range(depth))
        try:
            while (item := ahead.popleft().result()) is not end:
                ahead.append(thread.submit(next, draw, end))
                yield item  # type: ignore[misc]
        finally:
            for waiting in ahead:
                waiting.cancel()


@contextmanager
def backend(name: str) -> Iterator[None]:
    """Says where `stream_parallel` works inside this context.

    Args:
        name: "threads" of this process, "dask" (the scheduler that DASK_SCHEDULER_ADDRESS or Dask's configuration
            names, else a cluster of this machine's cores), or "dask:ADDRESS" of a scheduler.

    Raises:
        UsageError: There is no such backend, Dask is not installed, or the scheduler does not answer.
    """
    kind, _, address = name.partition(":")
    if name == "threads":
        yield
    elif kind == "dask":
        with _dask_client(address or None) as client:
            before = _cluster.set(client)
            try:
                yield
            finally:
                _cluster.reset(before)
    else:
        raise UsageError(f"--backend {name}: is none of threads, dask, dask:ADDRESS")


def _dask_client(address: str | None) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise UsageError("--backend dask: Dask is not installed; install it with pip install 'epitool[dask]'") from None
    try:
        return Client(address)
    except (OSError, ValueError) as error:
        where = address or "the address that is configured"
        raise UsageError(f"--backend dask: no scheduler answers at {where} ({error})") from None


def _start(function: Callable[[Item], Result], items: Sequence[Item], jobs: int) -> Iterator[Outcome[Result]]:
    """Sets the work going and hands out how each item ended, in order; with one job each is done when asked for."""
    parallel = Parallel(n_jobs=jobs or 1, prefer="threads", return_as="generator", pre_dispatch="all", batch_size=1)
    started: Iterator[Outcome[Result]] = parallel(delayed(_attempted)(function, item) for item in items)
    return started


def _attempted(function: Callable[[Item], Result], item: Item) -> Outcome[Result]:
    try:
        return function(item), None
    except Exception as error:  # raised by `_results`, when no other thread is at work any more
        return None, error


def _sent_to(cluster: Any, function: Callable[[Item], Result]) -> Callable[[Item], Result]:
    """The function, done by a Dask cluster while a thread of this process waits.

    Not joblib's own backend for Dask: it waits for ever where Dask gives work up, and brings work back into this
    process where workers are few.
    """

    def send(item: Item) -> Result:
        try:
            outcome = cluster.submit(_attempted, function, item, pure=False).result()
        except Exception as error:  # the item's own are in the outcome
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise EpitoolError(f"--backend dask: the cluster has lost the work ({reason}); run it again") from None
        return _results([outcome])[0]

    return send


def _results(outcomes: Iterable[Outcome[Result]]) -> list[Result]:
    outcomes = list(outcomes)
    for _, error in outcomes:
        if error is not None:
            raise error
    return [result for result, _ in outcomes]  # type: ignore[misc]
