import cv2
import numpy as np
import pytest

from epitool.errors import InputError
from epitool.images import open_view, read_images, read_view
from epitool.names import frame_of_video

JPEG = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))[1].tobytes()


def write_images(folder, names, size=(32, 24)):
    folder.mkdir()
    for i, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.full((size[1], size[0], 3), 10 * i, np.uint8))


def write_video(path, count=10, size=(64, 48)):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, size)
    for i in range(count):
        writer.write(np.full((size[1], size[0], 3), 20 * i % 256, np.uint8))
    writer.release()


def test_images_are_numbered_by_the_end_of_their_names(tmp_path):
    write_images(tmp_path / "cam", ["cam2_10.png", "cam2_2.png", "cam2_1.png"])
    view = open_view(tmp_path / "cam")
    assert (view.name, view.frames, view.image_size) == ("cam", (1, 2, 10), (32, 24))
    assert [int(image[0, 0, 0]) for _, image in read_view(view)] == [20, 10, 0]


def test_names_without_numbers_count_in_order(tmp_path):
    write_images(tmp_path / "cam", ["b.png", "a.png"])
    assert open_view(tmp_path / "cam").frames == (0, 1)


def test_two_images_with_one_number_are_refused(tmp_path):
    write_images(tmp_path / "cam", ["a_1.png", "b_1.png"])
    with pytest.raises(InputError, match=r"frame 1 is there twice, a_1\.png and b_1\.png"):
        open_view(tmp_path / "cam")


def test_a_video_is_read_frame_by_frame_and_by_name(tmp_path):
    write_video(tmp_path / "v.avi")
    view = open_view(tmp_path / "v.avi")
    assert len(view.frames) == 10
    levels = {frame: int(image.mean()) for frame, image in read_view(view)}
    assert levels == pytest.approx({i: 20 * i for i in range(10)}, abs=4)
    names = [view.image_name(7), view.image_name(2), view.image_name(7)]
    assert {i: int(image.mean()) for i, image in read_images(names)} == pytest.approx({0: 140, 1: 40, 2: 140}, abs=4)


def test_colours_are_rgb(tmp_path):
    cv2.imwrite(str(tmp_path / "red.png"), np.full((8, 8, 3), (0, 0, 255), np.uint8))
    [(_, image)] = read_images([str(tmp_path / "red.png")])
    assert image[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone", None, "no such file or folder"),
        ("empty.mp4", b"", "empty"),
        ("text.mp4", b"hello", "cannot be decoded"),
        ("photo.jpg", b"hello", "not one image"),
        ("notes.txt", 100 * b"hello\n", "cannot be decoded"),
        ("paper.pdf", b"%PDF-1.4\nstream\n" + JPEG + b"\nendstream\n%%EOF\n", "cannot be decoded"),
        ("renamed.mp4", b"PK\3\4" + bytes(26) + 3 * JPEG, "cannot be decoded"),
    ],
)
def test_what_is_no_view_is_said(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        open_view(tmp_path / name)


def test_images_one_after_the_other_are_a_video(tmp_path):
    (tmp_path / "v.mjpeg").write_bytes(5 * JPEG)
    assert open_view(tmp_path / "v.mjpeg").frames == (0, 1, 2, 3, 4)


def test_what_is_no_image_is_said(tmp_path):
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "empty.jpg").write_bytes(b"")
    for name, message in [("text.jpg", "cannot be decoded"), ("empty.jpg", "empty"), ("gone.jpg", "No such file")]:
        with pytest.raises(InputError, match=message):
            list(read_images([str(tmp_path / name)]))
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="holds no images"):
        open_view(tmp_path / "folder")


def test_a_frame_beyond_the_end_of_a_video_is_said(tmp_path):
    write_video(tmp_path / "v.avi", count=3)
    with pytest.raises(InputError, match=r"frame 9 cannot be decoded; .* 3 frames were found"):
        list(read_images([f"{tmp_path}/v.avi#1", f"{tmp_path}/v.avi#9"]))


def test_a_number_too_large_for_a_frame_is_refused(tmp_path):
    write_images(tmp_path / "cam", ["a_10000000000000000000.png"])
    with pytest.raises(InputError, match="too large for a frame"):
        open_view(tmp_path / "cam")


def test_a_superscript_is_no_frame_number():
    assert frame_of_video("v.mp4#²") is None
    assert frame_of_video("v.mp4#12") == ("v.mp4", 12)
