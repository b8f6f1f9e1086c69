"""Crops are cut once, from folders and videos alike, and what is wrong with an image is said in one line."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from epitool.errors import InputError
from epitool.images import VideoReader, read_images
from epitool.nn import crop_store
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


def test_file_depends_neither_on_chunks_nor_on_parts_nor_on_threads(footage, tmp_path, monkeypatch):
    for name, size, jobs in (("a", 4, 1), ("b", 7, 3), ("c", 100, 2)):
        cut_crops(chunks(footage, size), tmp_path / f"{name}.jpgs", SIZE, jobs)
    monkeypatch.setattr(crop_store, "_PART", 5)
    cut_crops(chunks(footage, 100), tmp_path / "d.jpgs", SIZE, 2)
    first, *others = ((tmp_path / f"{name}.jpgs").read_bytes() for name in "abcd")
    assert all(other == first for other in others)


def test_video_read_in_parts_is_read_once_and_gives_the_same_frames(footage):
    whole = dict(VideoReader(footage / "b.avi").read(range(COUNT)))
    reader = VideoReader(footage / "b.avi")
    for part in ([1, 2], [5], [3, 4], [0, 8]):  # the last two go back
        for frame, image in reader.read(part):
            np.testing.assert_array_equal(image, whole[frame])
    assert [frame for frame, _ in reader.read([7, 8, 9, 10])] == [7, 8]


class CountedReader(VideoReader):
    """Keeps count of those that are open; one that is forgotten closes."""

    opened: list[str]
    alive, most = 0, 0

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        cls = type(self)
        cls.opened.append(path.name)
        cls.alive += 1
        cls.most = max(cls.most, cls.alive)

    def __del__(self) -> None:
        type(self).alive -= 1


def test_each_video_is_opened_once_and_few_stay_open(footage, tmp_path, monkeypatch):
    counted = type("Counted", (CountedReader,), {"opened": []})
    monkeypatch.setattr(crop_store, "VideoReader", counted)
    monkeypatch.setattr(crop_store, "_OPEN_VIDEOS", 2)
    for k in range(8):
        (tmp_path / f"{k}.avi").write_bytes((footage / "b.avi").read_bytes())

    def pairs():  # two views of a take, one take after the other
        for k in range(0, 8, 2):
            for start in (0, 4):
                names = [f"{tmp_path / f'{k + view}.avi'}#{i}" for i in range(start, start + 4) for view in (0, 1)]
                yield names, np.tile([10.0, 5, 60, 60], (8, 1)), np.tile((WIDTH, HEIGHT), (8, 1))

    cut_crops(pairs(), tmp_path / "crops.jpgs", SIZE)
    assert sorted(counted.opened) == [f"{k}.avi" for k in range(8)]
    assert counted.most <= 4
    assert counted.alive == 0


def test_frame_that_is_asked_for_twice_is_cut_twice(footage, tmp_path):
    part = (
        [f"{footage / 'b.avi'}#3"] * 2,
        np.array([[10.0, 5, 60, 60], [30, 5, 80, 80]]),
        np.tile((WIDTH, HEIGHT), (2, 1)),
    )
    cut_crops([part], tmp_path / "crops.jpgs", SIZE)
    store = CropStore(tmp_path / "crops.jpgs")
    [(_, image)] = VideoReader(footage / "b.avi").read([3])
    for found, box in zip(store, part[1], strict=True):
        assert np.abs(found.astype(int) - crop_image(image, enlarged(box, CACHE_MARGIN), SIZE)).mean() < 2


def test_store_is_a_sequence(footage, tmp_path):
    cut_crops(chunks(footage), tmp_path / "crops.jpgs", SIZE)
    store = CropStore(tmp_path / "crops.jpgs")
    np.testing.assert_array_equal(store[-1], store[2 * COUNT - 1])
    with pytest.raises(IndexError):
        store[2 * COUNT]
    cut_crops([], tmp_path / "none.jpgs", SIZE)
    assert len(CropStore(tmp_path / "none.jpgs")) == 0


def test_pickled_store_is_its_path(footage, tmp_path):
    cut_crops(chunks(footage), tmp_path / "crops.jpgs", SIZE)
    store = CropStore(tmp_path / "crops.jpgs")
    pickled = pickle.dumps(store)
    assert len(pickled) < 1000
    np.testing.assert_array_equal(pickle.loads(pickled)[3], store[3])


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


@pytest.mark.parametrize(
    "places",
    [None, b"", b"text", np.arange(5), np.array(3), np.array([], int), [5, 10], [0, 20, 10], [0.0, 10.0]],
    ids=["gone", "empty", "text", "of others", "scalar", "none", "late", "back", "float"],
)
def test_store_with_wrong_places_is_refused(footage, tmp_path, places):
    path = tmp_path / "crops.jpgs"
    cut_crops(chunks(footage), path, SIZE)
    beside = path.with_suffix(".npy")
    if isinstance(places, list):  # the end is right, what comes before is not
        places = np.array([*places, path.stat().st_size], type(places[0]))
    if places is None:
        beside.unlink()
    elif isinstance(places, bytes):
        beside.write_bytes(places)
    else:
        np.save(beside, places)
    with pytest.raises(InputError, match="remove it"):
        CropStore(path)


def test_store_with_wrong_bytes_is_refused(footage, tmp_path):
    path = tmp_path / "crops.jpgs"
    cut_crops(chunks(footage), path, SIZE)
    content = path.read_bytes()
    path.write_bytes(b"\0" * len(content))
    with pytest.raises(InputError, match="crop 2 is damaged; remove"):
        CropStore(path)[2]
    path.write_bytes(content[:-10])
    with pytest.raises(InputError, match="is damaged; remove"):
        CropStore(path)


def test_changed_image_is_noticed(footage, tmp_path):
    names = [str(tmp_path / "0.png"), f"{footage / 'b.avi'}#0", f"{footage / 'b.avi'}#1"]
    (tmp_path / "0.png").write_bytes((footage / "0.png").read_bytes())
    before = images_digest(names)
    assert images_digest(iter(names)) == before
    (tmp_path / "0.png").write_bytes((footage / "1.png").read_bytes() + b" ")
    assert images_digest(names) != before
    assert images_digest(names[::-1]) != images_digest(names)
    missing = images_digest([str(tmp_path / "gone.png")])
    (tmp_path / "gone.png").write_bytes(b"")
    assert images_digest([str(tmp_path / "gone.png")]) != missing


def test_digest_looks_at_a_video_once(footage, monkeypatch):
    looked: list[str] = []
    state = crop_store._state
    monkeypatch.setattr(crop_store, "_state", lambda file: looked.append(file) or state(file))
    images_digest(name for part in chunks(footage) for name in part[0])
    assert looked.count(str(footage / "b.avi")) == 1
    assert len(looked) == COUNT + 1
