"""The sample recording: four synchronized views of one person, from the wheel of Pose2Sim (BSD-3-Clause).

The wheel is downloaded from the package index by pip, without installing anything, and the recording is kept in the
user's cache folder. Only the five files named here are extracted, and each is checked whenever it is used.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from epitool.console import progress, say
from epitool.errors import InputError
from epitool.files import one_at_a_time, writing

REQUIREMENT = "pose2sim==0.10.49"
_WHEEL_BYTES = 51_189_031
_WHEEL_SHA256 = "403e0dc4065898ba6a595e72a8970950310979253d60e24c2e00b16b36bf21e1"
_FOLDER = "Pose2Sim/Demo_SinglePerson"
_SHA256 = {
    "Calib.qca.txt": "fd90e4bbae3278ef1dc0cdd42a34ee06bf88286f628a02c00a29407aa39e34c5",
    "cam01.mp4": "cf4f2816c86bea4bfbea255333d8626ff32a3ecabdab8b0fb147cea9167fde3a",
    "cam02.mp4": "94ff87cf978b8406e8aa36ab3c5362e72848994e87652f0dc7a33c315e8e0442",
    "cam03.mp4": "b8b329f832f178f27ecb78d024d5026b96c6adb36c387bfe2c0af85eab8a11ca",
    "cam04.mp4": "b5c0e7863fd70d008e7178d3c556b045b0ea5f78fcd61ca548a0b2e807e641f7",
}
_RETRY = "connect to the network and run the command again"


@dataclass(frozen=True)
class Sample:
    """Paths of the recording.

    Attributes:
        views: Four videos of 100 frames.
        calibration: Qualisys's calibration of these cameras.
    """

    views: tuple[Path, ...]
    calibration: Path


def sample_recording(cache: Path | None = None) -> Sample:
    """Return the recording, which is downloaded on first use (51 MB).

    Args:
        cache: Folder in which the recording is kept; the user's cache folder by default.

    Raises:
        InputError: The recording cannot be downloaded, or the downloaded files are not the expected ones.
    """
    folder = (cache or Path(platformdirs.user_cache_dir("epitool"))) / REQUIREMENT.replace("==", "-")
    if not _complete(folder):
        with one_at_a_time(folder):
            if not _complete(folder):  # another process may have downloaded it meanwhile
                _fetch(folder)
    names = sorted(name for name in _SHA256 if name.endswith(".mp4"))
    return Sample(tuple(folder / name for name in names), folder / "Calib.qca.txt")


def _fetch(folder: Path) -> None:
    say(f"fetching the sample recording ({REQUIREMENT}, {_WHEEL_BYTES / 1e6:.0f} MB, once) into {folder}")
    with tempfile.TemporaryDirectory() as temporary:
        wheel = _download(Path(temporary))
        _check(wheel, _WHEEL_SHA256, _WHEEL_BYTES)
        _unpack(wheel, folder)


def _complete(folder: Path) -> bool:
    return all((folder / name).is_file() and _sha256(folder / name) == digest for name, digest in _SHA256.items())


def _download(folder: Path) -> Path:
    """Download the wheel by pip, which knows the user's index, proxy and certificates."""
    command = [*_pip(folder), "download", "--no-deps", "--only-binary", ":all:", "--dest", str(folder / "wheel")]
    command += ["--disable-pip-version-check", "--progress-bar", "off", "--quiet", REQUIREMENT]
    environment_of_pip = {"TMPDIR": str(folder / "partial")}
    (folder / "partial").mkdir()
    result = _watched(command, environment_of_pip, folder)
    wheels = list((folder / "wheel").glob("*.whl"))
    if result.returncode or len(wheels) != 1:
        reason = (result.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise InputError(f"the sample recording cannot be fetched ({reason[:300]}); {_RETRY}")
    return wheels[0]


def _watched(command: list[str], extra: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run pip and show the progress of the download by the size of the unfinished file."""
    with progress("fetching (bytes)", _WHEEL_BYTES) as advance:
        process = subprocess.Popen(
            command, env={**os.environ, **extra}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        shown, error = 0, None
        try:
            while error is None:
                try:
                    _, error = process.communicate(timeout=0.2)
                except subprocess.TimeoutExpired:
                    arrived = min(_largest_in(folder), _WHEEL_BYTES)
                    advance(max(arrived - shown, 0))
                    shown = max(arrived, shown)
        except BaseException:
            process.kill()
            raise
        advance(_WHEEL_BYTES - shown)
    return subprocess.CompletedProcess(command, process.returncode, "", error)


def _largest_in(folder: Path) -> int:
    """Return the bytes of the largest file in a folder; 0 if one vanishes meanwhile, as when pip renames it."""
    try:
        return max((file.stat().st_size for file in folder.rglob("*") if file.is_file()), default=0)
    except OSError:
        return 0


def _pip(folder: Path) -> list[str]:
    """Return the command that runs pip of this environment, or of a temporary one if this has no pip."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    try:
        venv.create(folder / "venv", with_pip=True)
    except (subprocess.CalledProcessError, OSError) as error:
        raise InputError(
            f"the sample recording is fetched by pip, which is not installed here and cannot be ({error});"
            " install pip into this environment"
        ) from None
    scripts = "Scripts" if sys.platform == "win32" else "bin"
    return [str(folder / "venv" / scripts / "python"), "-m", "pip"]


def _unpack(wheel: Path, folder: Path) -> None:
    """Extract only the files named in `_SHA256`, under their plain names."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name, digest in _SHA256.items():
                inside = "calibration" if name.endswith(".txt") else "videos"
                with writing(folder / name) as temporary:
                    temporary.write_bytes(archive.read(f"{_FOLDER}/{inside}/{name}"))
                    _check(temporary, digest)
    except (zipfile.BadZipFile, KeyError) as error:
        raise InputError(f"{wheel.name}: is not the wheel that was expected ({error}); {_RETRY}") from None


def _check(path: Path, sha256: str, size: int | None = None) -> None:
    found = path.stat().st_size
    if size is not None and found != size:
        raise InputError(f"{path.name}: has {found} bytes, {size} are expected; {_RETRY}")
    if _sha256(path) != sha256:
        raise InputError(f"{path.name}: its SHA-256 is not the expected one; it may have been tampered with; {_RETRY}")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
