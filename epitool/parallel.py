"""Parallel work on the cores of this machine or on a Dask cluster."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from joblib import Parallel, delayed, effective_n_jobs

from epitool.errors import EpitoolError, UsageError, first_line

Item = TypeVar("Item")
Result = TypeVar("Result")
Outcome = tuple[Result | None, Exception | None]
_WAVE_PER_WORKER, _LARGEST_WAVE = 4, 32  # items in progress together; more would fill the memory
_AHEAD = 2  # items that `drawn_ahead` draws ahead
_cluster: ContextVar[Any] = ContextVar("_cluster", default=None)  # Dask's client, inside `use_backend("dask")`


def run_parallel(function: Callable[[Item], Result], items: Iterable[Item], jobs: int) -> list[Result]:
    """Apply a function to every item and return the results in the order of the items.

    Threads are used because numpy, OpenCV and mediapipe release Python's global lock while they work.

    Args:
        function: Function of one item; may be a closure.
        items: Items to process.
        jobs: Number of threads; -1 for one per core. With 1, all items are processed one by one in this thread.

    Raises:
        Exception: The exception of the first failing item in order, raised after all items have ended.
    """
    return _results(list(_start(function, list(items), jobs)))


def stream_parallel(function: Callable[[Item], Result], items: Iterable[Item], jobs: int) -> Iterator[Result]:
    """Apply a function to more items than fit in memory, and yield the results in the order of the items.

    At most two waves of items, of a few items per worker, and their results exist at any time. While one wave is being
    processed, the items of the next wave are drawn and the results of the previous one are consumed.

    Args:
        function: Function of one item; may be a closure. On a Dask cluster, it and the items are pickled.
        items: Items to process.
        jobs: Number of threads; -1 for one per core. Ignored on a Dask cluster.

    Raises:
        Exception: The exception of the first failing item in order, raised after its wave and the next have ended.
        EpitoolError: The cluster has ended, or its workers were killed repeatedly.
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
        for _ in running:  # waits for the wave: no thread may be inside native code when the process ends
            pass


def drawn_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Draw up to two items ahead, in a separate thread, so that the next ones are ready when they are needed.

    Raises:
        Exception: The exception raised by drawing an item, when that item is due.
    """
    draw, end = iter(items), object()
    with ThreadPoolExecutor(1) as thread:
        ahead = deque(thread.submit(next, draw, end) for _ in range(_AHEAD))
        try:
            while (item := ahead.popleft().result()) is not end:
                ahead.append(thread.submit(next, draw, end))
                yield item  # type: ignore[misc]
        finally:
            for waiting in ahead:
                waiting.cancel()


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Select where `stream_parallel` works inside this context.

    Args:
        name: "threads" for threads of this process; "dask" for the scheduler named by DASK_SCHEDULER_ADDRESS or Dask's
            configuration, or else a cluster of this machine's cores; "dask:ADDRESS" for the scheduler at an address.

    Raises:
        UsageError: The backend does not exist, Dask is not installed, or the scheduler does not answer.
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
        raise UsageError(f"backend {name}: is none of threads, dask, dask:ADDRESS")


def _dask_client(address: str | None) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise UsageError("backend dask: Dask is not installed; install it with pip install 'epitool[dask]'") from None
    try:
        return Client(address)
    except (OSError, ValueError) as error:
        where = address or "the address that is configured"
        raise UsageError(f"backend dask: no scheduler answers at {where} ({error})") from None


def _start(function: Callable[[Item], Result], items: Sequence[Item], jobs: int) -> Iterator[Outcome[Result]]:
    """Start the work and yield the outcome of each item in order.

    With one job or one item, items are processed in this thread, when asked for: joblib would start a thread, and look
    every 10 ms whether it has ended.
    """
    count = 1 if len(items) == 1 else min(jobs, len(items)) if jobs > 0 else jobs
    parallel = Parallel(n_jobs=count or 1, prefer="threads", return_as="generator", pre_dispatch="all", batch_size=1)
    started: Iterator[Outcome[Result]] = parallel(delayed(_attempted)(function, item) for item in items)
    return started


def _attempted(function: Callable[[Item], Result], item: Item) -> Outcome[Result]:
    try:
        return function(item), None
    except Exception as error:  # raised later by `_results`, when no other thread is working any more
        return None, error


def _sent_to(cluster: Any, function: Callable[[Item], Result]) -> Callable[[Item], Result]:
    """Return a function that runs `function` on a Dask cluster while a thread of this process waits.

    Joblib's own Dask backend is not used: it waits forever if Dask gives up a task, and runs work in this process if
    there are few workers.
    """

    def send(item: Item) -> Result:
        try:
            outcome = cluster.submit(_attempted, function, item, pure=False).result()
        except Exception as error:  # an exception of Dask; the item's own exception is in the outcome
            raise EpitoolError(
                f"backend dask: the cluster has lost the work ({first_line(error)}); run it again"
            ) from None
        return _results([outcome])[0]

    return send


def _results(outcomes: Iterable[Outcome[Result]]) -> list[Result]:
    outcomes = list(outcomes)
    for _, error in outcomes:
        if error is not None:
            raise error
    return [result for result, _ in outcomes]  # type: ignore[misc]
