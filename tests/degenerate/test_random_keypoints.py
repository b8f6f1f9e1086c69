"""Keypoints that have nothing to do with the person: in all views, and in one of them."""

from dataclasses import replace

import numpy as np
import pytest
from outcomes import detected, outcome, scene, solved, worst_deg
from tiers import thorough_but


def anywhere(keypoints, views, seed=0):
    xy = keypoints.xy.copy()
    xy[:, views] = np.random.default_rng(seed).uniform(0, 383, xy[:, views].shape)
    return replace(keypoints, xy=xy)


@pytest.mark.parametrize("seed", thorough_but(range(3), 0))
def test_two_views_of_nothing_are_no_calibration(seed):
    labels = scene(2)
    assert outcome(anywhere(detected(labels), [0, 1], seed), labels.rig).startswith(("fail", "error"))


@pytest.mark.thorough
def test_nor_are_four():
    labels = scene(4)
    keypoints = anywhere(detected(labels), [0, 1, 2, 3]).select_frames(np.arange(40))
    assert outcome(keypoints, labels.rig).startswith(("fail", "error"))


def test_one_of_two_is_enough_to_fail():
    labels = scene(2)
    assert outcome(anywhere(detected(labels), [1]), labels.rig).startswith(("fail", "error"))


def test_one_of_four_is_left_out_by_name():
    labels = scene(4)
    keypoints = anywhere(detected(labels), [2]).select_frames(np.arange(40))
    found = solved(keypoints, labels.rig)
    assert list(found.left_out) == ["cam3"]
    assert worst_deg(found, labels.rig) < 1
