"""Whom `predict` answers for in a video that shows several people: one of them, as far as they are seen."""

from __future__ import annotations

import numpy as np
import pytest

from epitool.nn.times import Times
from epitool.skeleton import skeleton
from epitool.stages.shared.following import Following
from epitool.stages.shared.looking import DetectorLooks

H36M = skeleton("h36m17")
IMAGE = np.zeros((480, 640, 3), np.uint8)
_ACROSS = [30 * (joint.startswith("left") - joint.startswith("right")) for joint in H36M.joints]
BODY = np.stack([_ACROSS, np.linspace(-60, 60, 17)], axis=1)
FPS = 25.0


class Scripted:
    """A detector that finds people with these middles in image after image.

    What it finds may be changed by a function of the number of the image, the joints and their confidence.
    """

    name, skeleton, names_people = "scripted", H36M, False

    def __init__(self, script, changed=lambda number, xy, sure: (xy, sure)):
        self._images, self._changed = enumerate(script), changed

    def detect(self, image):
        number, middles = next(self._images)
        middles = np.array(middles, dtype=float).reshape(-1, 2)
        return self._changed(number, middles[:, None] + BODY, np.ones((len(middles), 17)))


def looks_by(detector, sequence, seconds):
    """Looks at images by a detector that finds nobody in their mirror images."""
    times = Times(np.array(sequence), np.array(seconds, dtype=float))
    looks = DetectorLooks((detector, Scripted([[]] * len(seconds))), times, None, 1.25)
    for i in range(len(seconds)):
        looks(i, IMAGE)
    return looks


def followed(script, seconds=None):
    """Middles across of the one who is followed, image by image; NaN for nobody."""
    looks = looks_by(Scripted(script), [0] * len(script), np.arange(len(script)) / FPS if seconds is None else seconds)
    return looks.found.xy[:, 0].mean(axis=1)[:, 0].round(6).tolist(), looks.crowded


def test_one_of_two_is_followed_whoever_is_seen_best():
    left, right = (150, 240), (450, 240)
    middles, crowded = followed([[left, right], [right, left], [left, right], [right, left]])
    assert middles == [150.0] * 4
    assert crowded == [0, 1, 2, 3]


def test_who_passes_another_is_followed_on():
    script = [[(150 + 6 * i, 240), (450 - 6 * i, 250)][:: 1 if i % 3 else -1] for i in range(50)]
    middles, _ = followed(script)
    begin = middles[0]
    np.testing.assert_allclose(middles, [begin + (6 if begin < 300 else -6) * i for i in range(50)])


def test_while_they_are_hidden_nobody_is_answered_for_and_after_half_a_second_the_one_seen_best_is():
    left, right = (150, 240), (450, 240)
    middles, _ = followed([[left, right], *[[right]] * 12, [left], *[[right]] * 14])
    assert middles[0] == middles[13] == 150.0
    assert np.isnan(middles[1:13]).all()
    assert np.isnan(middles[14:26]).all()
    assert middles[26:] == [450.0] * 2


def test_who_was_hidden_for_a_moment_may_have_moved_on_meanwhile():
    """A quarter of their box in a third of a second; in one image, it would be somebody else."""
    left, moved_on, right = (150, 240), (190, 240), (450, 240)
    middles, _ = followed([[left, right], *[[right]] * 7, [moved_on, right]])
    assert middles[-1] == 190.0
    middles, _ = followed([[left, right], [moved_on, right]])
    assert np.isnan(middles[-1])


def test_sides_that_the_detector_exchanges_make_nobody_else_of_them():
    def exchanged(number, xy, sure):
        return (xy[:, H36M.flip_order], sure) if number == 1 else (xy, sure)

    looks = looks_by(Scripted([[(150, 240), (450, 240)]] * 2, exchanged), [0, 0], [0.0, 0.04])
    assert np.isfinite(looks.found.xy[:, 0]).all()


def test_joints_that_are_not_seen_tell_nothing():
    def partial(number, xy, sure):
        hidden = np.arange(17) % 4 == (number + 1) % 4
        return np.where(hidden[:, None], np.nan, xy), np.where(hidden, 0.0, sure)

    script = [[(150, 240), (450, 240)], [(450, 240), (150, 240)], [(150, 240)]]
    looks = looks_by(Scripted(script, partial), [0, 0, 0], np.arange(3) / FPS)
    assert (np.nanmax(looks.found.xy[:, 0, :, 0], axis=1) < 200).all()


@pytest.mark.parametrize("seconds", [None, [0.0, 0.0, 0.0]])
def test_a_single_person_may_move_as_fast_as_they_like(seconds):
    middles, crowded = followed([[(100, 240)], [(500, 240)], [(120, 240)]], seconds)
    assert middles == [100.0, 500.0, 120.0]
    assert not crowded


def test_images_that_are_no_video_have_the_one_seen_best_each():
    script = [[(150, 240), (450, 240)], [(450, 240), (150, 240)]]
    looks = looks_by(Scripted(script), [0, 1], [0.0, 0.0])
    assert looks.found.xy[:, 0, :, 0].mean(axis=1).round(6).tolist() == [150.0, 450.0]


class Remembering(Scripted):
    """Remembers whom it found in the image before, and adds the number of those whom it was told to follow."""

    def __init__(self, script):
        super().__init__(script)
        self.told = []

    def follow(self, image, before, alone, turned):
        self.told.append(before)
        return [self.detect(image)] * (1 + turned), [len(self.told)]


def test_a_detector_that_can_looks_where_people_were_in_the_image_before_of_the_same_video():
    script = [[(150, 240)]] * 4
    pair = Remembering(script), Remembering(script)
    times = Times(np.array([0, 0, 0, 1]), np.array([0.0, 0.04, 5.0, 0.0]))
    looks = DetectorLooks(pair, times, None, 1.25)
    for i in range(4):
        looks(i, IMAGE)
    assert [one.told for one in pair] == [[None, [1], None, None]] * 2


def test_in_a_stream_whose_frames_come_one_by_one_the_same_person_is_followed():
    left, right = (150, 240), (450, 240)
    script = [[left, right], [right, left], [right], [left, right]]
    pair, following = (Scripted(script), Scripted([[]] * 4)), Following(H36M.flip_order)
    middles = []
    for i in range(4):
        looks = DetectorLooks(pair, Times.of_one(0.3 * i), None, 1.25, following)
        looks(0, IMAGE)
        middles.append(looks.found.xy[0, 0, :, 0].mean().round(6))
    assert middles[:2] == [150.0, 150.0]
    assert np.isnan(middles[2])
    assert middles[3] == 150.0  # 0.6 s after they were lost, the one seen best
