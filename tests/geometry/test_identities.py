"""Identities of several people before known cameras: kept through gaps and meetings, and nobody made up."""

from dataclasses import replace

import numpy as np
import pytest
from crowds import crowd_scene
from identities import few_views, score, shown
from test_people import FRAMES, H36M, RIG, mixed_up, seen, walker

from epitool.geometry.people.association import People, match_people
from epitool.geometry.people.bodies import nearest_to_rays, sides
from epitool.geometry.people.candidates import Candidates
from epitool.geometry.people.everyone import Crowd
from epitool.geometry.people.facings import Facings, measure_facings
from epitool.geometry.people.hypotheses import divide_pieces
from epitool.geometry.people.mirrors import mirror_images
from epitool.geometry.people.pieces import Pieces, Sightings, pieces_of
from epitool.geometry.people.rejoining import people_of, possible
from epitool.geometry.people.ways import Moments, Ways
from epitool.skeleton import Skeleton
from epitool.synthetic import random_rig

FIELDS = ("xy", "confidence", "frame_index", "view_index")


def only(candidates, kept):
    return Candidates(*(getattr(candidates, name)[kept] for name in FIELDS))


def found(candidates, frames=FRAMES):
    return match_people(candidates, RIG, frames, H36M)


def found_in(scene):
    return match_people(scene.crowd.candidates, scene.rig, scene.crowd.frames, H36M)


def names_of(people, who):
    """Names `(F,)` that each person has, by person; -1 where they have none."""
    owner = np.where(people.candidates >= 0, who[people.candidates], -1).max(axis=-1)
    return {p: np.where(owner == p, people.names, -1).max(axis=1) for p in np.unique(who)}


@pytest.fixture(scope="module")
def coming_back():
    """One is there all the time; another, of nine tenths of the size, is away for 60 frames, and so is a third."""
    people = [seen(walker(3), 3), seen(0.88 * walker(7, (900, 0)), 53), seen(1.1 * walker(9, (-900, 0)), 63)]
    candidates, who = mixed_up(people, missing=0.05)
    away = (who > 0) & (candidates.frame_index >= 45) & (candidates.frame_index < 105)
    return only(candidates, ~away), who[~away]


def test_who_comes_back_is_the_one_who_left(coming_back):
    candidates, who = coming_back
    names = names_of(found(candidates), who)
    for person in range(3):
        given = names[person][names[person] >= 0]
        assert len(set(given.tolist())) == 1
    assert len({names[p][10] for p in range(3)}) == 3


def test_another_who_comes_after_one_has_left_is_somebody_new(coming_back):
    candidates, who = coming_back
    leaves, comes = (who == 1) & (candidates.frame_index >= 75), (who == 2) & (candidates.frame_index < 75)
    kept = ~(leaves | comes)
    names = names_of(found(only(candidates, kept)), who[kept])
    assert set(names[1][names[1] >= 0]).isdisjoint(names[2][names[2] >= 0])


def test_crowds_keep_their_identities():
    scene = few_views(crowd_scene(1, 4, 100), [0, 1, 2, 3])
    result = score(found_in(scene), scene.who, shown(scene))
    assert result.idf1 >= 0.98
    assert result.identities == 4


@pytest.mark.parametrize("seed", [1031, 40])
def test_who_leaves_and_comes_back_keeps_the_name(seed):
    """Where pieces were joined one after the other these people had a name too many, and two exchanged theirs."""
    scene = few_views(crowd_scene(seed, 4), np.linspace(0, len(random_rig(seed)) - 1, 4).astype(int).tolist())
    result = score(found_in(scene), scene.who, shown(scene))
    assert (result.idf1 > 0.97, result.identities) == (True, 4)


def test_the_likeliest_division_looks_ahead():
    """Two meet and are hardly seen; only later, when their bones are, is it known who is who."""
    track = np.array([0, 1, 0, 1, 0, 1])
    weight = np.array([1e4, 1e4, 1.0, 1.0, 1e4, 1e4])[:, None]
    bones = np.array([0.1, -0.1, 0.0, 0.0, -0.1, 0.1])[:, None]

    def odds_of(last, piece):
        sure = 0.5 if piece in (2, 3) else 4.0
        return np.where(last < piece - piece % 2, np.where(track[last] == track[piece], sure, 0.0), -np.inf)

    own = divide_pieces(weight, weight * bones, odds_of)
    assert own.tolist() == own[[0, 1, 1, 0, 1, 0]].tolist()
    assert own[0] != own[1]


def test_the_score_counts_switches_and_ghosts():
    """Two people in two views over four frames; the names of two are exchanged in the last frame."""
    groups = np.arange(16).reshape(4, 2, 2)
    who = np.tile([0, 0, 1, 1], 4)
    names = np.array([[0, 1], [0, 1], [0, 1], [1, 0]])
    people = found(Candidates(np.zeros((0, 17, 2)), np.zeros((0, 17)), np.zeros(0, int), np.zeros(0, int)), 4)
    views = np.full((2, 4), 2)
    exchanged = score(replace(people, candidates=groups, names=names), who, views)
    assert (exchanged.idf1, exchanged.switches, exchanged.ghosts) == (0.75, 2, 0)
    who[-1] = 0
    mixed = score(replace(people, candidates=groups, names=names), who, views)
    assert mixed.ghosts == 1 / 8


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_candidates_and_views_only_renames(coming_back, seed):
    candidates, _ = coming_back
    rng = np.random.default_rng(seed)
    order, views = rng.permutation(len(candidates)), rng.permutation(4)
    shuffled = only(candidates, order).select_views(views.tolist())
    again = match_people(shuffled, replace(RIG, cameras=tuple(RIG.cameras[v] for v in views)), FRAMES, H36M)
    people = found(candidates)
    assert len(again) == len(people)
    whole = {people.identities(p).tobytes() for p in range(len(people))}
    for person in range(len(again)):
        own = again.identities(person)
        back = np.empty_like(own)
        back[:, views] = np.where(own >= 0, order[own], -1)
        assert back.tobytes() in whole


def test_a_detector_that_finds_everyone_twice_makes_nobody_new(coming_back):
    candidates, _ = coming_back
    jitter = np.random.default_rng(0).normal(0, 1, candidates.xy.shape)
    twice = {name: np.tile(getattr(candidates, name), 2) for name in FIELDS[2:]}
    doubled = Candidates(
        np.concatenate([candidates.xy, candidates.xy + jitter]), np.tile(candidates.confidence, (2, 1)), **twice
    )
    people = found(doubled)
    assert len(people) == len(found(candidates)) == 3
    assert ((people.candidates >= 0).any(axis=-1) & (people.names < 0)).sum() > FRAMES  # and it is seen that they are


def test_calibration_takes_who_is_found_twice_once(coming_back):
    candidates, _ = coming_back
    jitter = np.random.default_rng(0).normal(0, 1, candidates.xy.shape)
    doubled = Candidates(
        np.concatenate([candidates.xy + jitter, candidates.xy]),
        np.concatenate([0.9 * candidates.confidence, candidates.confidence]),
        *(np.tile(getattr(candidates, name), 2) for name in FIELDS[2:]),
    )
    empty = seen(walker(3), 3).select_frames(np.arange(0))
    once = Crowd(doubled, FRAMES, empty).without_twins().candidates
    assert len(candidates) <= len(once) < 1.02 * len(candidates)
    assert len(Crowd(candidates, FRAMES, empty).without_twins().candidates) == len(candidates)


def test_a_frame_with_somebody_has_somebody(coming_back):
    candidates, _ = coming_back
    people = found(only(candidates, candidates.frame_index == 20))
    assert len(people) == 3
    assert (people.names >= 0).any(axis=1).sum() == 1


def test_a_track_is_divided_where_it_is_least_sure():
    candidates, _ = mixed_up([seen(walker(3, frames=20), 3)], missing=0.0)
    members = candidates.table(20, len(RIG))[..., 0]
    margin = np.array([9.0] * 5 + [0.5, 0.4, 0.1, 0.5] + [9.0] * 11)
    names, centers = np.where(np.arange(20) == 19, -1, 0), np.arange(60.0).reshape(20, 3)
    followed = Sightings(names, margin, np.arange(20), centers, np.full(20, 1000.0), np.full((20, 3), np.nan))
    pieces = pieces_of(followed, members, candidates, RIG, H36M)
    assert pieces.of_sighting.tolist() == [0] * 7 + [1] * 12 + [-1]
    assert (pieces.first.tolist(), pieces.last.tolist()) == ([0, 9], [4, 18])
    assert (pieces.before.tolist(), pieces.margin.tolist()) == ([-1, 0], [9.0, 0.1])
    np.testing.assert_allclose(pieces.end.place[0], centers[4], atol=1e-6)
    np.testing.assert_allclose(pieces.begin.place[1], centers[9], atol=1e-6)


def pieces_with(bones, track, first, last, variance):
    """Pieces of people who stand still, whom nobody comes near."""
    count = len(bones)
    number, place = np.arange(count), np.zeros((count, 3))
    begin, end = (Moments(place, place, at.astype(float)) for at in (first, last))
    before = np.where(np.diff(track, prepend=-1) == 0, number - 1, -1)
    ways = Ways(np.ones(1), np.zeros(1), 0.01 * np.eye(3)[None], np.eye(3))
    sure, facings = np.full(count, np.inf), Facings(place, place, np.empty(0), np.empty(0))
    return Pieces(
        number, track, first, last, begin, end, before, sure, bones, np.full(bones.shape, variance),
        np.full(bones.shape, 0.1), np.full(count, 10), np.full(count, 2.0), ways, facings,
    )  # fmt: skip


def test_two_of_one_size_who_meet_are_told_apart_by_the_way_they_face():
    """They leave facing east and west; after two frames one faces west and then one faces east."""
    bones, number = np.random.default_rng(0).normal(6, 0.3, 8) + np.zeros((4, 8)), np.arange(4)
    met = pieces_with(bones, number, first=np.array([0, 0, 12, 12]), last=np.array([9, 9, 20, 20]), variance=1e-3)
    east = np.array([1.0, 0, 0])
    ways = np.outer([1, -1, -1, 1], east)
    for kept, begin, expected in ((0.8, ways, [0, 1, 1, 0]), (0.8, -ways, [0, 1, 0, 1])):
        facings = Facings(begin, ways, np.array([1.0, 8.0]), np.array([0.9, kept]))
        assert people_of(replace(met, facings=facings)).tolist() == expected


def test_the_way_somebody_faces_tells_less_the_longer_they_were_away():
    east, unknown = np.array([1.0, 0, 0]), np.full(3, np.nan)
    facings = Facings(
        np.stack([east, -east, unknown]), np.stack([east] * 3), np.array([1.0, 8.0]), np.array([0.9, 0.5])
    )
    gaps, first = np.array([1, 4, 8, 9]), np.zeros(4, dtype=int)
    same, other, nothing = (facings.odds(first, after, gaps) for after in range(3))
    assert (np.diff(same) < 0).all()
    assert (same[:3] > 0).all()
    np.testing.assert_allclose(other, -same, atol=1e-12)
    assert (nothing == 0).all()
    assert same[3] == 0


def test_how_far_people_turn_is_measured_where_nobody_is_away():
    """At 5 degrees a frame; four sightings at each side of a gap tell the way."""
    angle = np.radians(5) * np.arange(100)
    across = 300 * np.column_stack([np.cos(angle), np.sin(angle), 0 * angle])
    across[50] = np.nan
    found = measure_facings([np.arange(100), np.empty(0, dtype=int)], np.arange(100), across)
    assert found.gaps[:5].tolist() == [1, 2, 3, 5, 8]
    np.testing.assert_allclose(found.kept[:5], np.cos(np.radians(5 * (found.gaps[:5] + 3))), atol=5e-3)
    for way, frame in ((found.begin, 1.5), (found.end, 97.5)):
        np.testing.assert_allclose(way[0], [np.cos(np.radians(5 * frame)), np.sin(np.radians(5 * frame)), 0], atol=1e-9)
        assert np.isnan(way[1]).all()


def test_both_sides_of_a_trunk_are_where_shoulders_and_hips_are():
    xyz, slots = walker(3, frames=5), np.zeros((5, 1, len(RIG)), dtype=int)
    xy = RIG.undistort(RIG.project(xyz))[:, :, None]
    found = nearest_to_rays(sides(xy, slots, H36M), RIG)
    for side, places in zip(("left", "right"), np.moveaxis(found, 1, 0)):
        true = xyz[:, [H36M.index(f"{side}_{joint}") for joint in ("shoulder", "hip")]].mean(axis=1)
        np.testing.assert_allclose(places, true, atol=10.0)  # the middle in an image is not quite that in space
    assert np.isnan(sides(xy[..., :3, :], slots, Skeleton("three", ("a", "b", "c"), (-1, 0, 1)))).all()


def test_bodies_of_impossible_size_or_proportions_are_nobody():
    count = 4
    bones = np.random.default_rng(0).normal(6, 0.3, 8) + np.zeros((count, 8))
    bones[2] += 0.9
    bones[3] += np.tile([0.5, -0.5], 4)
    number = np.arange(count)
    pieces = pieces_with(bones, track=number, first=number, last=number, variance=1e-3)
    assert possible(number, pieces).tolist() == [0, 1, -1, -1]


def test_bones_that_change_are_nobody_s_unless_three_views_agree():
    """Others cover somebody in some views; the parts of a body that come from different people change from frame to
    frame, but by chance no more than two views agree."""
    number, bones = np.arange(7), np.random.default_rng(0).normal(6, 0.3, 8) + np.zeros((7, 8))
    pieces = pieces_with(bones, track=number, first=number, last=number, variance=1e-3)
    scatter = np.repeat([0.6, 0.1], (3, 4))[:, None] + np.zeros((7, 8))
    changing = replace(pieces, scatter=scatter, views=np.array([2.0, 3.0, 3.7, 2.0, 2.0, 4.0, 4.0]))
    assert possible(number, changing).tolist() == [-1, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("seed", [3, 5])
def test_bones_that_poses_change_do_not_make_one_person_two(seed):
    """Elbows and hips are where a detector puts them in each pose, far more exactly than they are right."""
    count = 12
    rng = np.random.default_rng(seed)
    logs = rng.normal(6, 0.3, 12) + rng.normal(0, [0.2] * 4 + [0.01] * 8, (count, 12))
    number = np.arange(count)
    pieces = pieces_with(logs, track=0 * number, first=20 * number, last=20 * number + 9, variance=4e-4)
    assert people_of(pieces).tolist() == [0] * count


@pytest.mark.parametrize("seed", [47, 57])
def test_people_are_people_before_two_close_views(seed):
    """9 and 13 degrees apart: depth is so uncertain that everyone's bones seem to change from frame to frame."""
    scene = crowd_scene(seed)
    assert score(found_in(scene), scene.who, shown(scene)).idf1 > 0.5


@pytest.mark.thorough
def test_of_a_crowd_of_thirty_in_one_room_hardly_anybody_is_made_up():
    """Who is who cannot be kept where so many walk through each other on 20 square metres; nobody is invented."""
    scene = few_views(crowd_scene(2, 30, 60), [0, 1, 2, 3])
    result = score(found_in(scene), scene.who, shown(scene))
    assert result.ghosts < 0.1
    assert result.ghost_identities == 0
    assert 15 <= result.identities <= 33


def reversed_at(plane, xyz):
    return np.where(np.arange(3) == 0, 2 * plane - xyz, xyz)


@pytest.mark.parametrize(
    ("second", "image"),
    [
        (lambda one: reversed_at(800, one), {1: 0}),
        (lambda one: walker(7, (900, 0)), {}),
        (lambda one: one + np.array([900.0, 0, 0]), {}),  # in step, and not reversed
        (lambda one: reversed_at(800, np.repeat(one[:1], FRAMES, axis=0)), {}),  # stands, and the other walks
    ],
    ids=["mirror", "two people", "in step", "one stands"],
)
def test_who_moves_as_somebody_does_in_a_mirror_is_named(second, image):
    one = walker(3)
    candidates, who = mixed_up([seen(one, 3), seen(second(one), 53)], missing=0.0)
    table = candidates.table(FRAMES, 4)
    choices = np.stack([np.where(who[table] == person, table, -1).max(axis=-1) for person in (0, 1)], axis=1)
    people = People(choices, np.tile([0, 1], (FRAMES, 1)))
    named = mirror_images(people, (0, 1), candidates, RIG, H36M)
    assert {frozenset(pair) for pair in named.items()} == {frozenset(pair) for pair in image.items()}
