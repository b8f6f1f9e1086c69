"""`epitool doctor`: reports what is installed, what the machine has, and whether it works."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

import epitool
from epitool.console import Summary, working
from epitool.detectors import DETECTORS
from epitool.errors import EpitoolError, GeometryError
from epitool.options import DoctorOptions

CORE = (
    "numpy", "scipy", "opencv-python", "scikit-learn", "joblib", "numba", "h5py", "poselib", "matplotlib", "typer",
    "rich", "torch", "torchvision", "lightning-fabric",
)  # fmt: skip
EXTRAS = {
    **{detector.extra: detector.imports for detector in DETECTORS.values() if detector.extra},
    "synth": ("anny",), "onnx": ("onnx", "onnxscript", "onnxruntime"), "dask": ("dask",),
    "tensorboard": ("tensorboard",), "datasets": ("cdflib",), "c3d": ("ezc3d",), "rerun": ("rerun",),
    "sleap": ("sleap_io",),
}  # fmt: skip
_LARGEST_ANGLE_DEG = 1.0


def run(_: DoctorOptions) -> Summary:
    """Report versions, processors, extras and the cache, and test the geometry, the network and the files.

    Returns:
        Summary of what was found. Its failure is a GeometryError if something that should be installed does not work.
    """
    import platformdirs

    cache = Path(platformdirs.user_cache_dir("epitool"))
    free = shutil.disk_usage(_find_existing(cache)).free
    machine = {
        "epitool": epitool.__version__, "python": platform.python_version(), "system": platform.platform(),
        "cores": os.cpu_count() or 1, "gpu": _gpu(),
        "cache": f"{cache} ({_size(cache) / 1e6:.0f} MB, {free / 1e9:.0f} GB free)",
    }  # fmt: skip
    versions = {name: _version(name) for name in CORE}
    extras = {name: all(importlib.util.find_spec(module) for module in needs) for name, needs in EXTRAS.items()}
    trials = {name: _tried(trial, name) for name, trial in TRIALS.items()}
    lines = [f"{name}: {value}" for name, value in machine.items()]
    lines.append(", ".join(f"{name} {version}" for name, version in versions.items()))
    lines += [
        f"extra [{name}]: " + ("installed" if there else f"not installed; pip install 'epitool[{name}]'")
        for name, there in extras.items()
    ]
    lines += [f"{name}: {trial.said}" for name, trial in trials.items()]
    failed = [f"{name} ({trial.said})" for name, trial in trials.items() if not trial.works]
    missing = [name for name, version in versions.items() if version is None]
    broken = [*failed, *missing]
    failure = GeometryError(f"does not work: {', '.join(broken)}; install epitool anew") if broken else None
    values = {
        **machine,
        "versions": versions,
        "extras": extras,
        "trials": {name: trial.said for name, trial in trials.items()},
    }
    return Summary("\n".join(lines), values, failure)


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        return "none that PyTorch can use"
    names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    return f"{', '.join(names)}, CUDA {torch.version.cuda}"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else 0


def _find_existing(folder: Path) -> Path:
    return folder if folder.exists() else _find_existing(folder.parent)


class Trial(NamedTuple):
    """The outcome of a test: whether it works, and how long it took or what was raised."""

    works: bool
    said: str


def _tried(trial: Callable[[], None], name: str) -> Trial:
    """Run a test and catch every error, as anything may be broken."""
    started = time.monotonic()
    try:
        with working(f"self-test: {name}"):
            trial()
    except Exception as error:  # the report of what is broken must not fail itself
        return Trial(False, f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}")
    return Trial(True, f"works ({time.monotonic() - started:.1f} s)")


def _geometry() -> None:
    from epitool.geometry.calibration.calibrate import calibrate
    from epitool.geometry.calibration.compare import compare_rigs
    from epitool.geometry.triangulation.labels import make_labels
    from epitool.synthetic import labels_of, noisy_keypoints
    from epitool.synthetic.motion import random_motion
    from epitool.synthetic.scene import ring_of_cameras

    truth = labels_of(random_motion(60, 0).xyz, ring_of_cameras())
    keypoints = noisy_keypoints(truth, sigma_px=1.0, outliers=0.05, swap_share=0.0, seed=0)
    found = calibrate(keypoints, truth.rig.cameras)
    worst = max(pair.rotation_deg for pair in compare_rigs(found.rig, truth.rig))
    if worst > _LARGEST_ANGLE_DEG or not np.isfinite(make_labels(keypoints, found.rig).poses.xyz).any():
        raise EpitoolError(f"cameras of a known scene are off by {worst:.1f} degrees")


def _network() -> None:
    import torch

    from epitool.nn.network import PoseNetwork

    PoseNetwork(17, "resnet18", 64, 32)(torch.zeros(2, 3, 64, 64)).sum().backward()


def _files() -> None:
    import cv2

    from epitool.io.labels_h5 import read_labels, write_labels
    from epitool.synthetic import labels_of
    from epitool.synthetic.motion import random_motion
    from epitool.synthetic.scene import ring_of_cameras

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trial.h5"
        write_labels(path, labels_of(random_motion(3, 0).xyz, ring_of_cameras()))
        read_labels(path)
        if not cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[0]:
            raise EpitoolError("no JPEG can be written")


TRIALS: dict[str, Callable[[], None]] = {"cameras from people": _geometry, "network": _network, "files": _files}
