"""The sample recording: fetched once, checked whenever it is used, unpacked under known names only."""

import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from epitool.errors import InputError
from epitool.io import sample
from epitool.io.cameras import read_rig


@pytest.fixture(scope="module")
def recording():
    return sample.sample_recording()


@pytest.fixture
def offline(monkeypatch):
    def fail(folder):
        raise AssertionError("the network was asked although the cache is whole")

    monkeypatch.setattr(sample, "_download", fail)


def test_the_second_time_it_comes_from_the_cache(recording, offline):
    again = sample.sample_recording()
    assert again == recording
    assert [video.name for video in again.views] == ["cam01.mp4", "cam02.mp4", "cam03.mp4", "cam04.mp4"]


def test_its_calibration_is_read_as_documented(recording):
    """K in 64ths of a pixel; z up; the cameras stand 1.7 to 2.1 m high around the origin."""
    rig = read_rig(recording.calibration)
    assert rig.unit == "mm"
    for camera in rig.cameras:
        assert 1670 < camera.focal < 1690
        assert 1600 < camera.center[2] < 2200
        looked_at = camera.R @ (-camera.center)
        assert looked_at[2] > 0  # the origin is before every camera


def test_a_damaged_cache_is_fetched_anew(recording, tmp_path, offline):
    folder = tmp_path / "pose2sim-0.10.49"
    folder.mkdir()
    for file in (*recording.views, recording.calibration):
        (folder / file.name).write_bytes(file.read_bytes())
    assert sample.sample_recording(tmp_path).views[0].parent == folder
    with (folder / "cam03.mp4").open("r+b") as video:
        video.seek(1000)
        video.write(b"tampered")
    with pytest.raises(AssertionError, match="network was asked"):
        sample.sample_recording(tmp_path)


def test_those_who_ask_at_once_fetch_it_once(tmp_path, monkeypatch):
    fetched, there = [], threading.Event()

    def fetch(folder):
        fetched.append(folder)
        time.sleep(0.3)
        there.set()

    monkeypatch.setattr(sample, "_complete", lambda _: there.is_set())
    monkeypatch.setattr(sample, "_fetch", fetch)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(sample.sample_recording, [tmp_path] * 4))
    assert len(set(found)) == len(fetched) == 1


def test_a_file_that_vanishes_while_it_is_measured_does_not_end_the_download(tmp_path, monkeypatch):
    """As pip's unfinished file does, which it renames."""
    there = Path.is_file

    def found_and_gone(path: Path) -> bool:
        found = there(path)
        path.unlink()
        return found

    (tmp_path / "partial").touch()
    monkeypatch.setattr(Path, "is_file", found_and_gone)
    slow = [sys.executable, "-c", "import time; time.sleep(0.5)"]
    assert sample._watched(slow, {}, tmp_path).returncode == 0
    assert not (tmp_path / "partial").exists()


def wheel_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_an_archive_cannot_climb_out_of_its_folder(tmp_path):
    """Nothing but the five expected files is ever written, whatever the archive holds."""
    hostile = wheel_of(tmp_path / "w.whl", {"../../evil": b"x", "/tmp/evil": b"x", "Pose2Sim/evil.py": b"x"})
    with pytest.raises(InputError, match="not the wheel that was expected"):
        sample._unpack(hostile, tmp_path / "cache")
    assert not list(tmp_path.rglob("*evil*"))


def test_expected_names_with_other_content_are_refused(tmp_path):
    names = {f"{sample._FOLDER}/videos/cam0{i}.mp4": b"x" for i in (1, 2, 3, 4)}
    wheel = wheel_of(tmp_path / "w.whl", {**names, f"{sample._FOLDER}/calibration/Calib.qca.txt": b"x"})
    with pytest.raises(InputError, match="SHA-256"):
        sample._unpack(wheel, tmp_path / "cache")
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_a_wheel_of_another_size_is_refused(tmp_path, monkeypatch):
    wheel = wheel_of(tmp_path / "w.whl", {"a": b"x"})
    monkeypatch.setattr(sample, "_download", lambda folder: wheel)
    with pytest.raises(InputError, match="51189031 are expected"):
        sample.sample_recording(tmp_path / "cache")


def test_what_pip_says_is_passed_on(tmp_path, monkeypatch):
    monkeypatch.setattr(sample, "REQUIREMENT", "pose2sim==0.0.0.no.such.version")
    with pytest.raises(InputError, match=r"cannot be fetched .*connect to the network"):
        sample.sample_recording(tmp_path)
