"""Crops are cut once, from folders and videos alike, and what is wrong with an image is said in one line."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from epitool.errors import InputError
from epitool.images import VideoReader, read_images
from epitool.nn.crop_store import CACHE_MARGIN, CropStore, cut_crops, images_digest
from epitool.nn.crops import crop_image, enlarged

WIDTH, HEIGHT, COUNT, SIZE = 160, 120, 9, 96


def picture(i: int) -> np.ndarray:
    """A smooth image that tells its number."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = [np.sin(x / 17 + i), np.cos(y / 13 - i), np.sin((x + y) / 23 + 2 * i)]
    return np.round(127 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)


@pytest.fixture(scope="module")
def footage(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("footage")
    video = cv2.VideoWriter(str(folder / "b.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (WIDTH, HEIGHT))
    for i in range(COUNT):
        cv2.imwrite(str(folder / f"{i}.png"), picture(i))
        video.write(picture(i + 50))
    video.release()
    return folder


def chunks(folder: Path, size: int = 4, stated=(WIDTH, HEIGHT)):
    """Names, boxes and sizes of an image and a video's frame in turn."""
    names = [name for i in range(COUNT) for name in (str(folder / f"{i}.png"), f"{folder / 'b.avi'}#{i}")]
    boxes = np.stack([np.array([10.0 + i, 5, 60, 60]) for i in range(len(names))])
    for start in range(0, len(names), size):
        part = slice(start, start + size)
        yield names[part], boxes[part], np.tile(stated, (len(names[part]), 1))


def test_crops_are_those_of_the_images(footage, tmp_path):
    cut_crops(chunks(footage), tmp_path / "crops.jpgs", SIZE)
    store = CropStore(tmp_path / "crops.jpgs")
    names, boxes = zip(*((n, b) for part in chunks(footage) for n, b in zip(part[0], part[1])))
    assert len(store) == len(names) == 2 * COUNT
    for i, image in read_images(names):
        exact = crop_image(image, enlarged(boxes[i], CACHE_MARGIN), SIZE)
        assert store[i].shape == exact.shape
        assert np.abs(store[i].astype(int) - exact).mean() < 2  # what JPEG loses


def test_file_depends_neither_on_chunks_nor_on_threads(footage, tmp_path):
    for name, size, jobs in (("a", 4, 1), ("b", 7, 3), ("c", 100, 2)):
        cut_crops(chunks(footage, size), tmp_path / f"{name}.jpgs", SIZE, jobs)
    first, *others = ((tmp_path / f"{name}.jpgs").read_bytes() for name in "abc")
    assert all(other == first for other in others)


def test_video_read_in_parts_is_read_once_and_gives_the_same_frames(footage):
    whole = dict(VideoReader(footage / "b.avi").read(range(COUNT)))
    reader = VideoReader(footage / "b.avi")
    for part in ([1, 2], [5], [3, 4], [0, 8]):  # the last two go back
        for frame, image in reader.read(part):
            np.testing.assert_array_equal(image, whole[frame])
    assert [frame for frame, _ in reader.read([7, 8, 9, 10])] == [7, 8]


def damaged(folder: Path, name: str, content: bytes | None) -> Path:
    path = folder / name
    path.unlink() if content is None else path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "message"), [(None, "No such file"), (b"", "empty"), (b"no image", "cannot be decoded")]
)
def test_bad_image_is_named_and_leaves_nothing(footage, tmp_path, content, message):
    for i in range(COUNT):
        (tmp_path / f"{i}.png").write_bytes((footage / f"{i}.png").read_bytes())
    (tmp_path / "b.avi").write_bytes((footage / "b.avi").read_bytes())
    bad = damaged(tmp_path, "3.png", content)
    with pytest.raises(InputError, match=message) as caught:
        cut_crops(chunks(tmp_path), tmp_path / "crops.jpgs", SIZE)
    assert str(bad) in str(caught.value)
    assert not list(tmp_path.glob("*crops*"))


def test_image_of_another_size_than_stated_is_refused(footage, tmp_path):
    with pytest.raises(InputError, match="is 160x120, the labels state 1920x1080"):
        cut_crops(chunks(footage, stated=(1920, 1080)), tmp_path / "crops.jpgs", SIZE)


def test_frame_after_the_end_of_a_video_is_named(footage, tmp_path):
    part = [f"{footage / 'b.avi'}#{COUNT + 5}"], np.array([[0.0, 0, 50, 50]]), np.array([[WIDTH, HEIGHT]])
    with pytest.raises(InputError, match=f"#{COUNT + 5}"):
        cut_crops([part], tmp_path / "crops.jpgs", SIZE)


@pytest.mark.parametrize("damage", ["shorter", "no places", "places of others"])
def test_damaged_store_is_refused(footage, tmp_path, damage):
    path = tmp_path / "crops.jpgs"
    cut_crops(chunks(footage), path, SIZE)
    if damage == "shorter":
        path.write_bytes(path.read_bytes()[:-10])
    elif damage == "no places":
        path.with_suffix(".npy").unlink()
    else:
        np.save(path.with_suffix(".npy"), np.arange(5))
    with pytest.raises(InputError, match="remove it"):
        CropStore(path)


def test_changed_image_is_noticed(footage, tmp_path):
    names = [str(tmp_path / "0.png"), f"{footage / 'b.avi'}#0", f"{footage / 'b.avi'}#1"]
    (tmp_path / "0.png").write_bytes((footage / "0.png").read_bytes())
    before = images_digest(names)
    assert images_digest(iter(names)) == before
    (tmp_path / "0.png").write_bytes((footage / "1.png").read_bytes() + b" ")
    assert images_digest(names) != before
    assert images_digest(names[::-1]) != images_digest(names)
