"""All joints in one plane: two poses of two views explain it alike (Hartley & Zisserman, section 13.1)."""

import numpy as np
import pytest
from conftest import exact_labels
from outcomes import detected, outcome, scene, solved, worst_deg
from tiers import thorough_but

from epitool.stages.shared.doubts import Asked, word_verdict


def pressed():
    """A moving person's shadow on a wall."""
    return scene().poses.xyz * [1, 0, 1]


def lying(seed):
    """Someone who lies flat against a wall and does not move."""
    return np.repeat(exact_labels(frames=1, seed=seed).poses.xyz * [1, 0, 1], 100, axis=0)


def turning():
    """A flat and rigid body that turns and slides along a wall."""
    flat = exact_labels(frames=1).poses.xyz[0] * [1, 0, 1] - [0, 0, 950]
    time = np.arange(100) / 5
    angle = 0.9 * np.sin(0.7 * time)
    x = flat[:, 0] * np.cos(angle)[:, None] - flat[:, 2] * np.sin(angle)[:, None]
    z = flat[:, 0] * np.sin(angle)[:, None] + flat[:, 2] * np.cos(angle)[:, None]
    return np.stack([x + 600 * np.sin(0.5 * time)[:, None], np.zeros_like(x), z + 950], axis=-1)


def test_a_shadow_places_four_views_and_its_body_is_doubted():
    labels = scene(4, pressed())
    found = solved(detected(labels), labels.rig)
    assert worst_deg(found, labels.rig) < 1
    assert "bones change their length" in word_verdict(found.verdict, Asked(lenses_given=True)).text


def test_two_views_of_a_shadow_are_not_trusted():
    labels = scene(2, pressed())
    assert outcome(detected(labels), labels.rig).startswith(("warn", "fail"))


@pytest.mark.parametrize("views", [2, 4])
def test_a_flat_body_that_moves_along_the_wall_is_enough(views):
    labels = scene(views, turning())
    keypoints = detected(labels, sigma_px=0.5)
    assert worst_deg(solved(keypoints, labels.rig), labels.rig) < 1


@pytest.mark.parametrize("seed", thorough_but([3, 4], 3))
def test_four_views_of_someone_lying_still_are_right(seed):
    """Of each pair's two poses only one fits the other pairs."""
    labels = scene(4, lying(seed))
    found = solved(detected(labels, sigma_px=0.5), labels.rig)
    assert worst_deg(found, labels.rig) < 3


@pytest.mark.parametrize("seed", thorough_but([3, 4], 3))
def test_two_views_of_someone_lying_still_are_not_trusted(seed):
    """That a homography explains the joints as well tells it."""
    labels = scene(2, lying(seed))
    said = outcome(detected(labels, sigma_px=0.5), labels.rig)
    assert said.startswith(("warn", "fail"))
    assert "joints might lie in a plane" in said
