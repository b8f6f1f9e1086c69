import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from test_images import write_video

from epitool.errors import GeometryError, InputError, UsageError
from epitool.io.candidates_h5 import read_candidates
from epitool.io.keypoints_h5 import read_keypoints
from epitool.options import Detect2dOptions
from epitool.pose import People
from epitool.skeleton import skeleton
from epitool.stages import detect2d
from epitool.stages.shared import detecting


class Bright:
    """Finds everybody at the image's brightness, and nobody in a black image."""

    name, skeleton = "bright", skeleton("coco17")
    calls = 0

    def detect(self, image):
        type(self).calls += 1
        level = float(image.mean())
        if level == 0:
            return np.full((17, 2), np.nan), np.zeros(17)
        return np.full((17, 2), level), np.ones(17)


class Crowd(Bright):
    """Finds one who stands and one who walks, in an order that changes, and both in every image but the fifth."""

    def detect(self, image):
        super().detect(image)
        frame = float(image.mean())
        body = np.linspace([0.0, 0.0], [10.0, 90.0], 17)
        body[13:, 0] += 12 * np.sin(frame) * np.array([1, -1, 1, -1])  # knees and ankles
        stands, walks = np.linspace([200.0, 0.0], [210.0, 90.0], 17), body + np.array([4 * frame, 0])
        people = [walks, stands] if int(frame) % 3 else [stands, walks]
        count = 1 if frame == 5 else 2
        return np.array(people)[:count], np.ones((count, 17))


class Following(Bright):
    """Finds as many people as there were in the image before, and one more, up to three."""

    def follow(self, image, before, alone, turned):
        type(self).calls += 1
        before = before or []
        assert alone == (len(before) > 1)  # once the images before have shown several people
        people = [*before, None][-3:]
        xy = np.arange(34.0).reshape(17, 2) + 100 * np.arange(len(people))[:, None, None]
        return [(xy, np.ones((len(people), 17)))], people


@pytest.fixture
def bright(monkeypatch):
    Bright.calls = 0
    monkeypatch.setattr(detecting, "open_detector", lambda name, device: Bright())


def images(folder, numbers, level=None):
    Path(folder).mkdir()
    for n in numbers:
        cv2.imwrite(f"{folder}/{n:03d}.png", np.full((8, 8, 3), n if level is None else level, np.uint8))


def run(views, **changes):
    options = {"detector": "mediapipe", "jobs": 2, "device": "cpu"}
    return detect2d.run(Detect2dOptions(views=[Path(view) for view in views], **{**options, **changes}))


def test_views_are_matched_by_frame_and_gaps_are_missing(here, bright, capfd):
    images("a", range(1, 11))
    images("b", [3, 4, 12])
    run(["a", "b"])
    found = read_keypoints(Path("keypoints.h5"))
    assert found.frames.tolist() == [*range(1, 11), 12]
    np.testing.assert_array_equal(found.xy[:10, 0, 0, 0], np.arange(1, 11))
    assert np.isfinite(found.xy[:, 1, 0, 0]).nonzero()[0].tolist() == [2, 3, 10]
    assert (found.images[:, 1] != "").nonzero()[0].tolist() == [2, 3, 10]
    assert read_candidates(Path("keypoints.h5"), found.xy.shape[:3]) is None  # nowhere is more than one person
    assert "different lengths: a 10, b 3" in capfd.readouterr().err


def test_what_a_pattern_catches_beside_the_footage_is_left_out_and_said(here, bright, capfd):
    images("cam1", range(1, 4))
    images("cam2", range(1, 4))
    Path("cam.toml").write_text("")
    cv2.imwrite("cam.png", np.zeros((8, 8, 3), np.uint8))
    Path("cam-steps").mkdir()
    Path("cam-steps/keypoints.h5").write_bytes(b"")
    run(sorted(map(str, here.glob("cam*"))))
    assert read_keypoints(Path("keypoints.h5")).views == ("cam1", "cam2")
    said = capfd.readouterr().err
    assert all(f"{name}" in said for name in ("cam.toml", "cam.png", "cam-steps"))
    assert "are no views and are left out" in said
    with pytest.raises(InputError, match="a view is a folder of images or a video, not one image"):
        run(["cam.png"])  # alone, it is what was meant
    Path("footage").mkdir()
    Path("footage/cam1.mp4").write_bytes(b"")
    with pytest.raises(InputError, match=r"it holds videos, which are views themselves: footage/\*\.mp4"):
        run(["footage"])


def test_a_detector_without_use_for_a_gpu_says_so(here, bright, capfd):
    images("a", range(1, 4))
    run(["a"], device="cuda")
    assert "warning: --device cuda: mediapipe computes on the CPU only" in capfd.readouterr().err


def test_images_without_a_person_are_missing_and_reported(here, bright, capfd):
    images("a", range(3))  # frame 0 is black
    run(["a"])
    assert np.isnan(read_keypoints(Path("keypoints.h5")).xy[0]).all()
    assert "view a: nobody was found in 1 of its 3 images" in capfd.readouterr().err


def test_nobody_anywhere_is_an_error_and_writes_no_file(here, bright):
    images("a", range(3), level=0)
    with pytest.raises(GeometryError, match="nobody was found in 3 images"):
        run(["a"])
    assert not Path("keypoints.h5").exists()


@pytest.fixture
def crowd(monkeypatch):
    Crowd.calls = 0
    monkeypatch.setattr(detecting, "open_detector", lambda name, device: Crowd())


def test_of_several_people_the_one_who_walks_is_followed_and_all_are_kept(here, crowd):
    images("a", range(1, 31))
    images("b", range(1, 31))
    run(["a", "b"])
    keypoints = read_keypoints(Path("keypoints.h5"))
    np.testing.assert_array_equal(keypoints.xy[:, 0, 0, 0], 4 * np.arange(1, 31))
    candidates = read_candidates(Path("keypoints.h5"), keypoints.xy.shape[:3])
    assert len(candidates) == 2 * 30 * 2 - 2
    assert (np.bincount(candidates.frame_index) == [4, 4, 4, 4, 2, *[4] * 25]).all()
    assert np.isin(keypoints.xy[:, 1, 0, 0], candidates.xy[candidates.view_index == 1, 0, 0]).all()


def test_an_interrupted_run_goes_on_with_all_people(here, crowd, monkeypatch):
    """Interrupted after 12 of 30 images, it ends as if it had not been."""
    images("a", range(1, 31))
    run(["a"], out=Path("whole.h5"))
    whole, detect = read_keypoints(Path("whole.h5")), Crowd.detect

    def stopped(self, image):
        if type(self).calls >= 12:
            raise RuntimeError("power cut")
        return detect(self, image)

    Crowd.calls = 0
    monkeypatch.setattr(Crowd, "detect", stopped)
    with pytest.raises(RuntimeError, match="power cut"):
        run(["a"])
    Crowd.calls = 0
    monkeypatch.setattr(Crowd, "detect", detect)
    run(["a"])
    assert Crowd.calls == 18
    again = read_keypoints(Path("keypoints.h5"))
    np.testing.assert_array_equal(again.xy, whole.xy)
    for name in ("xy", "confidence", "frame_index", "view_index"):
        found = [read_candidates(Path(p), whole.xy.shape[:3]) for p in ("whole.h5", "keypoints.h5")]
        first, second = (getattr(everyone, name) for everyone in found)
        np.testing.assert_array_equal(second, first)


def test_people_are_followed_through_consecutive_frames_also_where_a_run_goes_on(here, monkeypatch):
    """One more person in each image until a frame is missing (6), or a stretch of 8 images ends (after 9)."""
    monkeypatch.setattr(detecting, "open_detector", lambda name, device: Following())
    monkeypatch.setattr(detecting, "_STRETCH_FRAMES", 8)
    images("a", [1, 2, 3, 4, 5, *range(7, 21)])
    follow = Following.follow

    def stopped(self, image, before, alone, turned):
        if image.mean() > 15:
            raise RuntimeError("power cut")
        return follow(self, image, before, alone, turned)

    monkeypatch.setattr(Following, "follow", stopped)
    with pytest.raises(RuntimeError, match="power cut"):
        run(["a"])
    monkeypatch.setattr(Following, "follow", follow)
    Following.calls = 0
    run(["a"])
    assert Following.calls == 8 + 3  # the stretch of images 10 to 18 is done again
    everyone = read_candidates(Path("keypoints.h5"), (19, 1, 17))
    found = np.bincount(everyone.frame_index)
    np.testing.assert_array_equal(found, [1, 2, 3, 3, 3, 1, 2, 3, 1, 2, 3, 3, 3, 3, 3, 3, 1, 2, 3])


def test_views_without_a_common_frame(here, bright):
    images("a", range(3))
    images("b", range(5, 8))
    with pytest.raises(GeometryError, match="no frame number in common: a 0-2, b 5-7"):
        run(["a", "b"])


def test_views_of_one_name(here, bright):
    Path("x").mkdir()
    images("a", range(3))
    images("x/a", range(3))
    with pytest.raises(UsageError, match=r"two views are named 'a' \(a, x/a\)"):
        run(["a", "x/a"])
    with pytest.raises(UsageError, match="a: is named twice"):
        run(["a", "a"])


def test_the_same_footage_under_two_names_is_refused(here, bright):
    images("a", range(3))
    write_video(Path("b.avi"), 3)
    Path("other.avi").symlink_to("b.avi")
    Path("c").mkdir()
    Path("c/0.png").symlink_to(min(Path("a").iterdir()).resolve())
    for same in (["b.avi", "other.avi"], ["c", "a"]):
        with pytest.raises(UsageError, match="are the same footage"):
            run(same)


def test_other_footage_is_not_overwritten_unless_asked(here, bright):
    images("a", range(1, 3))
    images("b", range(1, 5))
    run(["a"])
    with pytest.raises(UsageError, match="--overwrite replaces it"):
        run(["b"])
    assert read_keypoints(Path("keypoints.h5")).views == ("a",)
    run(["b"], overwrite=True)
    assert read_keypoints(Path("keypoints.h5")).views == ("b",)


def test_finished_work_is_skipped_until_the_footage_changes(here, bright):
    images("a", range(1, 5))
    values = run(["a"]).values
    assert Bright.calls == 4
    assert run(["a"]).values == values
    assert Bright.calls == 4
    cv2.imwrite("a/009.png", np.full((8, 8, 3), 9, np.uint8))
    with pytest.raises(UsageError, match="other footage"):
        run(["a"])


def test_copied_footage_is_the_same_footage(here, bright):
    images("a", range(1, 5))
    run(["a"])
    for file in Path("a").iterdir():
        file.touch()
    run(["a"])
    assert Bright.calls == 4


def test_images_of_another_size_in_one_view(here, bright):
    images("a", range(1, 5))
    cv2.imwrite("a/003.png", np.full((4, 4, 3), 9, np.uint8))
    with pytest.raises(InputError, match=r"003\.png: is 4x4, the first of its view is 8x8"):
        run(["a"])


def test_names_that_are_not_unicode(here, bright):
    name = os.fsdecode(b"c\xff")
    images("plain", range(1, 3))
    try:
        Path("plain").rename(name)
    except OSError:
        pytest.skip("this file system has Unicode names only")
    with pytest.raises(InputError, match="not UTF-8"):
        run([name])


@pytest.mark.parametrize("jobs", [1, 2, -1])
def test_results_do_not_depend_on_jobs(here, bright, jobs):
    for view in "abc":
        images(view, range(1, 20))
    run(["a", "b", "c"], jobs=jobs)
    np.testing.assert_array_equal(
        read_keypoints(Path("keypoints.h5")).xy[:, :, 0, 0], np.arange(1, 20)[:, None] * np.ones(3)
    )


def retimed(video: bytes, durations: list[int]) -> bytes:
    """An .mp4 whose frames are shown for so many ticks each: another table `stts`, and the boxes around it grown."""
    place = video.index(b"stts")
    assert struct.unpack(">2I", video[place + 8 : place + 16]) == (1, len(durations))
    table = b"".join(struct.pack(">2I", 1, ticks) for ticks in durations)
    content = bytearray(video[: place + 8] + struct.pack(">I", len(durations)) + table + video[place + 20 :])
    for box in (b"stts", b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        at = video.rindex(box, 0, place + 4) - 4
        size = int.from_bytes(video[at : at + 4], "big") + len(table) - 8
        content[at : at + 4] = size.to_bytes(4, "big")
    return bytes(content)


@pytest.mark.parametrize(
    ("ticks", "said"),
    [
        ([1] * 30, ""),
        ([1] * 10 + [2] + [1] * 19, "after 40 to 80 ms"),  # a frame is dropped
        ([1] * 15 + [2] * 15, "after 40 to 80 ms"),  # the light goes
        ([4, 5] * 15, ""),  # times are rounded
    ],
)
def test_videos_of_an_uneven_rate_are_said(here, bright, capsys, ticks, said):
    write_video(Path("a.mp4"), count=30, size=(64, 48))
    video = Path("a.mp4").read_bytes()
    place = video.index(b"stts") + 16
    one = int.from_bytes(video[place : place + 4], "big")
    Path("a.mp4").write_bytes(retimed(video, [one * n // (4 if max(ticks) > 2 else 1) for n in ticks]))
    run(["a.mp4"])
    err = " ".join(capsys.readouterr().err.split())
    assert (said in err) if said else ("ffmpeg" not in err)
    assert ("ffmpeg -i a.mp4 -fps_mode cfr -r 25 even.mp4" in err) == bool(said)
    assert len(read_keypoints(Path("keypoints.h5")).frames) == 30


def test_videos_of_different_frame_rates_are_refused_before_detection(here, bright):
    for name, rate in (("a.avi", 25), ("b.avi", 50)):
        writer = cv2.VideoWriter(name, cv2.VideoWriter_fourcc(*"MJPG"), rate, (64, 48))
        for level in range(1, 5):
            writer.write(np.full((48, 64, 3), level, np.uint8))
        writer.release()
    with pytest.raises(InputError, match="frames per second: a 25, b 50"):
        run(["a.avi", "b.avi"])
    assert Bright.calls == 0


def test_a_run_that_goes_on_reads_no_saved_people_for_their_frames(here, bright, monkeypatch):
    """Of a saved part, only the frame numbers are unpacked."""
    people = {f: People(np.zeros((1, 17, 2)), np.ones((1, 17))) for f in range(1, 9)}
    detecting._save_part(Path("part"), people, 17)
    monkeypatch.setattr(detecting, "arrays_of", lambda path: pytest.fail("all of a part is read"))
    assert detecting._saved_frames(Path("part")) == set(people)


def test_a_damaged_part_is_one_line(here):
    Path("part").mkdir()
    Path("part/000000001.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"000000001\.npz: cannot be read"):
        detecting._saved_frames(Path("part"))
