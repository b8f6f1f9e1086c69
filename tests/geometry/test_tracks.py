"""Sightings linked over time, and what tells someone who moves from someone who stands."""

import numpy as np
import pytest

from epitool.geometry.people.tracking import correlate_limbs, link_sightings, swing
from epitool.pose import midline
from epitool.skeleton import skeleton

H36M = skeleton("h36m17")


def test_tracks_keep_their_names_through_a_gap_and_end_where_people_touch():
    at = np.arange(20.0)
    body = np.array([[0.0, 0.0], [0.0, 10.0], [0.0, 20.0]])
    one, other = (body + np.stack([x, 0 * x], axis=-1)[:, None] for x in (3 * at, 60 - 3 * at))
    points, frames = np.concatenate([one, other + np.array([0.0, 8.0])]), np.tile(np.arange(20), 2)
    kept = ~np.isin(frames, [5, 6])
    apart = points + np.where(np.arange(40) < 20, 0.0, 100.0)[:, None, None]
    names = link_sightings(apart[kept], frames[kept], bridge=2)
    assert [len(set(names[:18])), len(set(names[18:]))] == [1, 1]
    assert names[0] != names[18]
    assert len(set(link_sightings(apart[kept], frames[kept], bridge=1))) == 4
    assert len(set(link_sightings(points, frames, bridge=2)[frames < 5])) == 2
    assert len(set(link_sightings(points, frames, bridge=2))) > 2


def test_sightings_without_points_belong_to_no_track():
    points = np.array([[[0.0, 0], [0, 1], [0, 2]], np.full((3, 2), np.nan)])
    assert link_sightings(points, np.array([0, 1]), bridge=5).tolist() == [0, -1]


def test_swing_tells_a_walk_from_a_jittering_stand():
    rng = np.random.default_rng(0)
    jitter = rng.normal(0, 0.1, (100, 4, 2))
    for frames_per_second, times in ((5, 1), (25, 3)):
        t = np.arange(100) / frames_per_second
        walk = 0.3 * np.abs(np.sin(5 * t))[:, None, None] * np.ones((1, 4, 2))
        assert swing(walk) > times * swing(jitter)
        assert swing(walk[:2]) == 0


def test_agreement_is_one_with_oneself_and_none_with_nobody():
    values = np.random.default_rng(0).normal(size=(50, 3))
    assert correlate_limbs(values, values) == pytest.approx(1)
    assert correlate_limbs(values, np.full_like(values, np.nan)) == 0


def test_midline_has_middles_of_pairs_and_unpaired_joints():
    xy = np.random.default_rng(0).normal(size=(4, 17, 2))
    points = midline(xy, H36M)
    assert points.shape == (4, 11, 2)
    np.testing.assert_array_equal(points, midline(xy[:, H36M.flip_order], H36M))
