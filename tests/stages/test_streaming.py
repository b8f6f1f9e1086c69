"""Labels of recordings that the memory does not hold: chunks, jobs, a Dask cluster, files made by appending."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiers import thorough_but

from epitool.errors import EpitoolError, GeometryError, UsageError
from epitool.geometry.triangulation import labels as geometry_labels
from epitool.geometry.triangulation.labels import convert_labels, make_labels, sample_bounds
from epitool.io import labels_h5 as io_labels
from epitool.io.cameras import write_rig
from epitool.io.keypoints_h5 import KeypointsFile, read_keypoints, write_keypoints
from epitool.io.labels_h5 import read_labels
from epitool.labels import Labels
from epitool.options import TriangulateOptions
from epitool.parallel import run_parallel, stream_parallel, use_backend
from epitool.pose import Keypoints
from epitool.skeleton import skeleton
from epitool.stages import triangulate as stage
from epitool.stages.triangulate import labelling

CHUNK = 25
FIELDS = ("reprojection_px", "swapped", "covariance", "used")


@pytest.fixture
def recording(here, truth, detected, monkeypatch) -> Path:
    """Keypoints and cameras in the current directory, labelled in chunks of 25 frames."""
    monkeypatch.setattr(geometry_labels, "_CHUNK_KEYPOINTS", CHUNK * 4 * 17)
    write_keypoints(Path("keypoints.h5"), detected)
    write_rig(Path("cameras.toml"), truth.rig)
    return here


def triangulated(out: str = "labels.h5", **options) -> bytes:
    stage.run(TriangulateOptions(**{"skeleton": "h36m17", "jobs": 1, **options}, out=Path(out)))
    return Path(out).read_bytes()


def assert_same_labels(a: Labels, b: Labels) -> None:
    np.testing.assert_array_equal(a.poses.xyz, b.poses.xyz)
    np.testing.assert_array_equal(a.poses.confidence, b.poses.confidence)
    np.testing.assert_array_equal(a.keypoints.xy, b.keypoints.xy)
    np.testing.assert_array_equal(a.keypoints.images, b.keypoints.images)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize("jobs", thorough_but([2, 3, -1], 3, -1))
def test_jobs_do_not_change_a_byte(recording, jobs):
    assert triangulated(jobs=jobs) == triangulated("one.h5")


@pytest.mark.parametrize("combine", ["robust", "vector-median"])
@pytest.mark.parametrize("frames", [7, 1000])
def test_chunks_do_not_change_a_bit(recording, monkeypatch, combine, frames):
    triangulated("once.h5", combine=combine)
    monkeypatch.setattr(geometry_labels, "_CHUNK_KEYPOINTS", frames * 4 * 17)
    triangulated(combine=combine)
    assert_same_labels(read_labels(Path("labels.h5")), read_labels(Path("once.h5")))


@pytest.fixture(scope="module")
def cluster():
    """A Dask cluster of two processes, which gives work up that has killed two of them."""
    distributed = pytest.importorskip("distributed", reason="needs pip install 'epitool[dask]'")
    import dask

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
    ):
        yield cluster


def test_a_dask_cluster_of_two_processes_does_not_change_a_byte(cluster, recording, monkeypatch):
    import dask

    threads = triangulated("threads.h5")
    assert triangulated(backend=f"dask:{cluster.scheduler_address}") == threads
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster.scheduler_address)
    dask.config.refresh()
    assert triangulated(backend="dask") == threads
    monkeypatch.undo()
    dask.config.refresh()


def test_dask_replaces_a_killed_worker_and_what_it_gives_up_is_one_line(cluster, here):
    died = here / "died"

    def dies_once(n: int) -> int:
        if n == 3 and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return n * n

    def dies(n: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return n

    with use_backend(f"dask:{cluster.scheduler_address}"):
        assert list(stream_parallel(dies_once, range(20), 2)) == [n * n for n in range(20)]
        assert died.exists()
        with pytest.raises(EpitoolError, match="the cluster has lost the work"):
            list(stream_parallel(dies, range(2), 2))


def test_backends_that_are_none_are_refused(recording, monkeypatch):
    with pytest.raises(UsageError, match="none of threads, dask"):
        triangulated(backend="spark")
    distributed = pytest.importorskip("distributed", reason="needs pip install 'epitool[dask]'")
    assert distributed
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "300ms"}),
        pytest.raises(UsageError, match=r"no scheduler answers at tcp://127\.0\.0\.1:9"),
        use_backend("dask:tcp://127.0.0.1:9"),
    ):
        pass


def test_without_dask_the_extra_to_install_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"epitool\[dask\]"), use_backend("dask"):
        pass


def test_the_file_is_the_labels_in_memory(recording, truth, detected):
    triangulated(skeleton="mpii16")
    whole = make_labels(detected_as_stored(), truth.rig, method="polynomial", jobs=1)
    io_labels.write_labels(Path("whole.h5"), convert_labels(whole, skeleton("mpii16")))
    assert_same_labels(read_labels(Path("labels.h5")), read_labels(Path("whole.h5")))


def detected_as_stored() -> Keypoints:
    return read_keypoints(Path("keypoints.h5"))


@pytest.mark.parametrize("where", ["label_chunk", "append"])
def test_an_interrupted_run_leaves_no_file_and_no_litter(recording, monkeypatch, where):
    owner = labelling if where == "label_chunk" else io_labels.LabelsWriter
    work, calls = getattr(owner, where), []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return work(*arguments)

    monkeypatch.setattr(owner, where, interrupted)
    before, threads = sorted(recording.iterdir()), threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        triangulated(jobs=1 if where == "label_chunk" else 2)
    assert sorted(recording.iterdir()) == before
    assert threading.active_count() <= threads


def test_ctrl_c_ends_in_130_and_leaves_nothing(recording):
    Path("slow.py").write_text(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore it
        "import epitool.geometry.triangulation.labels as labels, epitool.stages.triangulate.labelling as stage\n"
        "labels._CHUNK_KEYPOINTS = 4 * 17\n"
        "work = stage.label_chunk\n"
        "def slow(*arguments):\n"
        "    print('chunk', flush=True)\n"
        "    time.sleep(0.1)\n"
        "    return work(*arguments)\n"
        "stage.label_chunk = slow\n"
        "from epitool.cli import main\n"
        "sys.argv = ['epitool', 'triangulate', '--jobs', '2']\n"
        "main()\n"
    )
    before = sorted(recording.iterdir())
    process = subprocess.Popen(
        [sys.executable, "slow.py"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=recording
    )
    for _ in range(20):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "interrupted; run the same command again" in error
    assert "Traceback" not in error
    assert sorted(recording.iterdir()) == before


def test_labels_that_were_there_survive_an_interrupted_run(recording, monkeypatch):
    before = triangulated()
    monkeypatch.setattr(labelling, "label_chunk", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        triangulated(jobs=2)
    assert Path("labels.h5").read_bytes() == before


def test_no_more_than_a_chunk_is_read_at_a_time(recording, monkeypatch):
    monkeypatch.setattr(geometry_labels, "_SAMPLE_RUNS", 2)
    monkeypatch.setattr(geometry_labels, "_RUN_FRAMES", 10)
    read, sizes = KeypointsFile.read, []

    def counted(self, *part):
        keypoints = read(self, *part)
        sizes.append(len(keypoints.frames))
        return keypoints

    monkeypatch.setattr(KeypointsFile, "read", counted)
    triangulated(jobs=2)
    assert max(sizes) == CHUNK
    assert sum(sizes) == 120 + 20


class Load:
    """Something whose number alive is known."""

    alive = most = 0

    def __init__(self) -> None:
        Load.alive += 1
        Load.most = max(Load.most, Load.alive)
        weakref.finalize(self, Load.gone)

    @staticmethod
    def gone() -> None:
        Load.alive -= 1


@pytest.mark.parametrize(("jobs", "wave"), [(1, 4), (2, 8), (100, 32)])
def test_memory_is_bounded_whatever_the_number_of_items_and_jobs(jobs, wave):
    gc.collect()
    Load.alive = Load.most = 0
    for result in stream_parallel(lambda item: Load(), (Load() for _ in range(400)), jobs):
        del result
    gc.collect()
    assert Load.most <= 2 * 2 * wave + 2  # two waves of items and of results, and those in hand
    assert Load.alive <= 2


def test_results_come_in_order_and_before_all_items_are_drawn():
    drawn = []
    items = (drawn.append(n) or n for n in range(1000))
    results = stream_parallel(lambda n: -n, items, 2)
    assert next(results) == 0
    assert len(drawn) <= 16
    assert list(results) == [-n for n in range(1, 1000)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_first_failure_in_order_is_raised(jobs):
    def fail(n):
        raise ValueError(str(n))

    with pytest.raises(ValueError, match=r"^0$"):
        run_parallel(fail, range(20), jobs)
    with pytest.raises(ValueError, match=r"^0$"):
        list(stream_parallel(fail, range(20), jobs))
    assert run_parallel(fail, [], jobs) == list(stream_parallel(fail, [], jobs)) == []


@given(st.integers(0, 3_000_000))
def test_the_sample_for_settings_is_bounded_and_spread(frames):
    runs = sample_bounds(frames)
    assert sum(stop - start for start, stop in runs) == min(frames, 2000)
    assert (runs[0][0], runs[-1][1]) == (0, frames)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(runs))


def test_offsets_in_time_are_undone_alike_in_any_chunks(recording, truth, monkeypatch):
    sync = pytest.importorskip("epitool.geometry.timing.sync")
    offsets = [0.0, 2.4, -3.0, 0.5]
    cameras = tuple(replace(c, time_offset=o) for c, o in zip(truth.rig.cameras, offsets, strict=True))
    write_rig(Path("cameras.toml"), replace(truth.rig, cameras=cameras))
    late = sync.synchronized(detected_as_stored(), [-offset for offset in offsets])
    write_keypoints(Path("keypoints.h5"), late)
    triangulated("once.h5")
    monkeypatch.setattr(geometry_labels, "_CHUNK_KEYPOINTS", 1 << 20)
    triangulated()
    assert_same_labels(read_labels(Path("labels.h5")), read_labels(Path("once.h5")))
    labels, moved = read_labels(Path("labels.h5")), sync.synchronized(read_keypoints(Path("keypoints.h5")), offsets)
    back = labels.keypoints.with_swaps(labels.swapped)
    np.testing.assert_allclose(back.xy, moved.xy, rtol=1e-6)


def test_a_recording_of_no_frames_determines_nothing(recording, detected):
    write_keypoints(Path("keypoints.h5"), detected.select_frames(np.arange(0)))
    with pytest.raises(GeometryError, match="no frame"):
        triangulated()
    assert not Path("labels.h5").exists()
