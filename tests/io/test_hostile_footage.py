"""Footage, arrays and names that nobody should send: each is used, or refused in one line, in bounded memory."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from test_cli import failing
from test_images import write_video

from epitool.console import printable
from epitool.errors import InputError
from epitool.images import open_view, read_image, read_view
from epitool.io.keypoints_h5 import read_keypoints, write_keypoints
from epitool.io.labels_h5 import read_labels, write_labels, writing_labels
from epitool.io.npz import arrays_of

SEEDS = 4 * int(os.environ.get("EPITOOL_HOSTILE", "2"))
MEMORY_MB = 1500  # of a process that refuses a bomb; torch is not among its imports


def png(width: int, height: int) -> bytes:
    """A black image whose file is a thousandth of it, made row by row."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(width + 1)) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def refusal_in_little_memory(code: str) -> str:
    """What a new process says that must refuse a file; its memory is checked."""
    script = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from epitool.errors import InputError\n"
        f"try:\n    {code}\n"
        "except InputError as error:\n    print(error)\n"
        "else:\n    sys.exit('was not refused')\n"
        "status = Path('/proc/self/status')\n"  # of this process alone, where the system tells
        "peak = int(re.search(r'VmHWM:\\s+(\\d+)', status.read_text())[1]) / 1000 if status.exists() else 0\n"
        f"assert peak < {MEMORY_MB}, peak\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("\n") == 1
    return result.stdout


def test_a_decompression_bomb_is_refused(here):
    Path("bomb.png").write_bytes(png(30000, 30000))
    code = "from epitool.images import read_image; read_image(Path('bomb.png'))"
    assert "cannot be decoded" in refusal_in_little_memory(code)


def test_arrays_that_unpack_to_more_than_numbers_could_are_refused(here):
    with zipfile.ZipFile("bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("xyz.npy", "w") as member:
        np.lib.format.write_array_header_1_0(
            member, {"descr": "<f8", "fortran_order": False, "shape": (125_000_000, 1)}
        )
        for _ in range(100):
            member.write(bytes(10_000_000))
    code = "from epitool.io.npz import arrays_of; arrays_of(Path('bomb.npz'))"
    assert "would unpack to 1000000" in refusal_in_little_memory(code)


def test_arrays_of_h5_that_claim_more_than_the_file_holds_are_refused(here, truth):
    write_labels(here / "labels.h5", truth)
    with h5py.File("labels.h5", "r+") as file:
        del file["frames"]
        file.create_dataset("frames", (10**11,), "i8", chunks=(1024,))
    code = "from epitool.io.labels_h5 import read_labels; read_labels('labels.h5')"
    assert "claims 8e+11 bytes" in refusal_in_little_memory(code)


def test_a_pickle_in_arrays_does_not_run(here):
    class Harmful:
        def __reduce__(self):
            return Path.touch, (Path("ran"),)

    np.savez("poses.npz", xyz=np.array([Harmful()], dtype=object))
    with pytest.raises(InputError, match=r"poses\.npz"):
        arrays_of(Path("poses.npz"))
    assert not Path("ran").exists()


def test_huge_and_deep_texts_are_refused_in_one_line(here, truth):
    write_keypoints(Path("keypoints.h5"), truth.keypoints)
    Path("cameras.toml").write_bytes(b"a = 1\n" * 17_000_000)
    assert "102 MB" in failing(3, "triangulate")
    Path("cameras.toml").write_text("a = " + "[" * 100_000 + "]" * 100_000)
    assert "cannot be read as cameras" in failing(3, "triangulate")
    Path("pose.json").write_text("[" * 100_000)
    assert "is not JSON" in failing(3, "show", "pose.json")


IMAGES = {
    "1x1": lambda path: cv2.imwrite(path, np.full((1, 1, 3), 200, np.uint8)),
    "one row": lambda path: cv2.imwrite(path, np.full((1, 5000, 3), 200, np.uint8)),
    "gray": lambda path: cv2.imwrite(path, np.full((40, 30), 200, np.uint8)),
    "16 bits": lambda path: cv2.imwrite(path, np.full((40, 30, 3), 51400, np.uint16)),
    "alpha": lambda path: cv2.imwrite(path, np.full((40, 30, 4), 200, np.uint8)),
}


def test_cmyk_images_are_read_as_rgb(here):
    pillow = pytest.importorskip("PIL.Image")  # comes with matplotlib
    pillow.new("CMYK", (30, 40), (0, 255, 255, 0)).save("a.jpg")
    image = read_image(Path("a.jpg"))
    assert image.shape == (40, 30, 3)
    assert image[5, 5, 0] > 200 > 60 > image[5, 5, 1]


@pytest.mark.parametrize("kind", IMAGES)
def test_unusual_images_are_read_as_rgb_of_8_bits(here, kind):
    assert IMAGES[kind]("a.png")
    image = read_image(Path("a.png"))
    assert (image.ndim, image.shape[2], image.dtype) == (3, 3, np.uint8)
    assert abs(int(image[0, 0, 0]) - 200) <= 1


def test_images_turned_by_exif_stand_upright(here):
    """The footage of phones: stored lying, with a remark that it is to be turned by 90 degrees."""
    lying = np.zeros((20, 60, 3), np.uint8)
    lying[:, :10] = 255  # its left end, which the turn brings to the top
    data = cv2.imencode(".jpg", lying)[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    Path("a.jpg").write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
    image = read_image(Path("a.jpg"))
    assert image.shape == (60, 20, 3)
    assert image[2].mean() > 200
    assert image[-2].mean() < 50


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("video") / "v.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (64, 48))
    for i in range(30):
        writer.write(np.random.default_rng(i).integers(0, 255, (48, 64, 3), dtype=np.uint8))
    writer.release()
    return path.read_bytes()


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("kind", ["flipped", "cut", "zeroed", "middle"])
def test_damaged_videos_are_read_as_far_as_they_go_or_refused(here, video, kind, seed):
    rng, content = np.random.default_rng(seed), bytearray(video)
    if kind == "flipped":
        for place in rng.integers(0, len(content), 20):
            content[place] ^= 1 << int(rng.integers(8))
    elif kind == "cut":
        del content[int(rng.integers(1, len(content))) :]
    else:
        start = len(content) // 2 if kind == "middle" else int(rng.integers(len(content)))
        content[start : start + 4000] = rng.bytes(4000) if kind == "middle" else bytes(4000)
    Path("v.mp4").write_bytes(content)
    try:
        view = open_view(Path("v.mp4"))
        frames = [frame for frame, _ in read_view(view)]
    except InputError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert "v.mp4" in refusal
        assert "\n" not in refusal
        return
    assert len(view.frames) <= len(content)
    assert frames == sorted(set(frames))
    assert set(frames) <= set(view.frames)


def test_a_video_that_claims_billions_of_frames_has_those_that_are_there(here, video):
    place = video.index(b"stsz")  # version and flags, one size for all, then their number
    count = struct.unpack(">I", video[place + 12 : place + 16])[0]
    assert count == 30
    Path("v.mp4").write_bytes(video[: place + 12] + struct.pack(">I", 2**31 - 1) + video[place + 16 :])
    with contextlib.suppress(InputError):
        assert len(open_view(Path("v.mp4")).frames) <= len(video)


def test_a_video_turned_by_its_header_stands_upright(here, video):
    place = video.index(b"tkhd") + 44  # the matrix: 9 numbers
    turned = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)
    Path("v.mp4").write_bytes(video[:place] + turned + video[place + 36 :])
    view = open_view(Path("v.mp4"))
    assert view.image_size == (48, 64)
    assert {image.shape for _, image in read_view(view)} == {(64, 48, 3)}


def test_a_video_without_frames_is_refused(here):
    write_video(here / "v.avi", count=0)
    with pytest.raises(InputError, match=r"v\.avi"):
        open_view(here / "v.avi")


NAMES = ["with space", "new\nline", "\x1b[2Jclears", "🎥 Kamera №1", "-", "--out", "a#3", "n" * 250, "'\";$(touch ran)"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_that_a_file_can_have_works(here, truth, name):
    path = here / f"{name}.h5"
    write_labels(path, truth)
    np.testing.assert_allclose(read_labels(path).poses.xyz, truth.poses.xyz, atol=1e-3)
    folder = here / name
    folder.mkdir()
    cv2.imwrite(str(folder / "0.png"), np.full((8, 8, 3), 9, np.uint8))
    view = open_view(folder)
    assert view.name == name
    assert len(list(read_view(view))) == 1
    assert "\x1b" not in printable(name)
    assert "\n" not in printable(name)


def test_errors_about_strange_names_are_one_line_that_cannot_command_the_terminal(here):
    said = failing(3, "show", "no\n\x1b[2Jfile.h5")
    assert said.count("\n") == 1
    assert "\x1b" not in said
    assert r"no\n\x1b[2Jfile.h5" in said


def test_links_of_other_files_in_candidates_are_refused(here, truth):
    write_keypoints(Path("keypoints.h5"), truth.keypoints)
    with h5py.File("keypoints.h5", "r+") as file:
        file["candidates"] = h5py.ExternalLink("/etc/hostname", "/")
    assert "'candidates' is no group of this file" in failing(3, "calibrate")


def test_names_grow_while_labels_are_streamed(here, truth):
    """Strings have one length in the file; one that is longer than those before it widens them."""
    images = truth.keypoints.images.copy().astype(object)
    images[:, 0] = [f"{'x' * (f // 10 + 1)}ü/{f}.jpg" for f in range(len(images))]
    keypoints = replace(truth.keypoints, images=images.astype(np.str_))
    named = replace(truth, keypoints=keypoints)
    with writing_labels(Path("labels.h5"), truth.poses.frames) as writer:
        for start in range(0, len(images), 25):
            writer.append(named.between(start, min(start + 25, len(images))))
    np.testing.assert_array_equal(read_keypoints(Path("labels.h5")).images, keypoints.images)
    assert json.dumps(named.recording_id) == json.dumps(read_labels(Path("labels.h5")).recording_id)
