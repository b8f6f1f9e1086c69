"""BlazePose of everyone in an image: whom it finds, where it looks, and that it answers as mediapipe does."""

import gc
import itertools
import tracemalloc
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_sample_image
from tiers import once

from epitool.detectors import open_detector
from epitool.detectors.blazepose_crops import PART
from epitool.detectors.finding import people_found


@pytest.fixture(scope="module")
def blazepose():
    pytest.importorskip("mediapipe", reason="needs the detector: pip install 'epitool[mediapipe]' (Python up to 3.12)")
    return open_detector("mediapipe")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """Images of a person from four sides, and the truth."""
    from epitool.images import read_images
    from epitool.synthetic import render_scene

    truth = render_scene(tmp_path_factory.mktemp("scene"), frames=4)
    return [image for _, image in read_images(truth.keypoints.images.ravel().tolist())], truth


def test_blazepose_finds_the_rendered_person_once(blazepose, rendered):
    images, truth = rendered
    errors = []
    for image, exact in zip(images, truth.keypoints.xy.reshape(-1, 17, 2), strict=True):
        (xy, *others), (confidence, *_), _ = people_found(blazepose, image)
        assert not others
        for joint in ("left_shoulder", "right_hip", "left_knee"):
            j = blazepose.skeleton.index(joint)
            if confidence[j] > 0.5:
                errors.append(np.linalg.norm(xy[j] - exact[truth.poses.skeleton.index(joint)]))
    assert len(errors) > 30
    assert np.median(errors) < 6


def test_blazepose_answers_as_mediapipe_does_for_one_person(blazepose, rendered):
    from mediapipe.python.solutions.pose import Pose

    with Pose(static_image_mode=True, model_complexity=1) as own:
        for image in rendered[0][:6]:
            seen, height, width = own.process(image), *image.shape[:2]
            (xy,), (confidence,), (xyz,) = people_found(blazepose, image)
            found, in_space = seen.pose_landmarks.landmark, seen.pose_world_landmarks.landmark
            np.testing.assert_array_equal(xy, [[p.x * width - 0.5, p.y * height - 0.5] for p in found])
            np.testing.assert_array_equal(confidence, [p.visibility for p in found])
            np.testing.assert_array_equal(xyz, [[1000 * p.x, 1000 * p.y, 1000 * p.z] for p in in_space])


def test_blazepose_finds_each_of_several_people(blazepose, rendered):
    images, truth = rendered
    halves, alone = [], []
    for number, left in ((0, 0), (5, 180)):
        middle = truth.keypoints.xy.reshape(-1, 17, 2)[number, :, 0].mean()
        start = int(middle) - 90
        halves.append(images[number][:, start : start + 180])
        alone.append(people_found(blazepose, images[number]).xy[0] + [left - start, 0])
    xy, confidence, xyz = people_found(blazepose, np.hstack(halves))
    assert (xy.shape, confidence.shape, xyz.shape) == ((2, 33, 2), (2, 33), (2, 33, 3))
    body = [blazepose.skeleton.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("shoulder", "hip")]
    found = xy[np.argsort(xy[:, body, 0].mean(axis=1))]
    assert np.linalg.norm(found - alone, axis=-1)[:, body].max() < 15


def test_blazepose_looks_where_a_person_is_alone_and_in_a_turned_crop(blazepose, rendered, monkeypatch):
    """Joints are in the image's axes. With nobody else there the first look is as ever; one without a turn is near."""
    image = rendered[0][0]
    as_ever, _, own = blazepose.detect(image)
    (plain, (xy, confidence, xyz)), _ = blazepose.follow(image, None, alone=True, turned=True)
    assert 0 < np.median(np.linalg.norm(plain[0] - as_ever, axis=-1)) < 1  # of 150 px
    assert (xy.shape, confidence.shape, xyz.shape) == ((1, 33, 2), (1, 33), (1, 33, 3))
    assert 0 < np.median(np.linalg.norm(xy - as_ever, axis=-1)) < 10
    assert np.median(np.linalg.norm(xyz - own, axis=-1)) < 150
    assert len(blazepose.follow(image, None, alone=True, turned=False)[0]) == 1
    monkeypatch.setattr("epitool.detectors.blazepose._TURN", 0.0)
    monkeypatch.setattr("epitool.detectors.blazepose._LED_ASTRAY", -1.0)  # so that the look in grey surroundings counts
    (alone, unturned), _ = blazepose.follow(image, None, alone=True, turned=True)
    np.testing.assert_array_equal(alone[0], unturned[0])
    monkeypatch.setattr("epitool.detectors.blazepose._SHOWN", -1.0)  # so that nothing becomes grey
    (as_it_is, _), _ = blazepose.follow(image, None, alone=True, turned=True)
    np.testing.assert_allclose(as_it_is[0], plain[0], atol=0.1)


def test_blazepose_looks_next_where_the_person_is_seen_also_at_the_image_s_edge(blazepose, rendered):
    """The crop for the next image is the one that mediapipe finds in the whole image."""
    image, truth = rendered[0][0], rendered[1].keypoints.xy.reshape(-1, 17, 2)[0]
    for left in (0, int(truth[:, 0].min()) - 3):
        cut = np.ascontiguousarray(image[:, left:])
        (whole,), (person,) = (blazepose.follow(cut, None, alone, turned=False)[1].people for alone in (False, True))
        for name in ("x_center", "y_center", "width", "height", "rotation"):
            expected = getattr(whole.next_crop, name)
            assert getattr(person.next_crop, name) == pytest.approx(expected, rel=0.05, abs=0.02)


@pytest.mark.parametrize(
    ("alone", "larger", "corner"),
    once(
        [
            pytest.param(*case, id="-".join(map(str, case)))
            for case in itertools.product([False, True], [2.5, 5, 1.6], [(0.5, 0.6), (0, 0), (1, 1)])
        ],
        lambda *case: case,
    ),
)
def test_somebody_small_in_the_image_is_seen_as_if_they_were_large(blazepose, rendered, alone, larger, corner):
    """Their crop is found anew in the part around them, and they are looked for in parts of the image."""
    well = 0
    for image in rendered[0][:4]:
        ((near, *_),), _ = blazepose.follow(image, None, alone, turned=False)
        far, place = _in_larger(image, larger, corner)
        ((found, *_),), _ = blazepose.follow(far, None, alone, turned=False)
        assert len(found) <= 1
        well += any(np.median(np.linalg.norm(xy - place - near[0], axis=-1)) < 15 for xy in found)  # of 200 px
    assert well >= 3


def _in_larger(image, larger, corner):
    """Return an image somewhere on a larger grey one, and the place `(2,)` where it begins."""
    size = np.array(image.shape[:2])
    whole = (larger * size).astype(int)
    y, x = (np.array(corner) * (whole - size)).astype(int)
    far = np.full((*whole, 3), 128, dtype=np.uint8)
    far[y : y + size[0], x : x + size[1]] = image
    return far, np.array([x, y])


def test_a_crop_found_where_it_was_or_where_somebody_was_before_stays(blazepose, rendered, monkeypatch):
    """Large people are seen as mediapipe sees them; those who were seen in the image before cost no second search."""
    image, crops = rendered[0][0], blazepose._crops
    (crop,), _ = crops.of_everyone(image, ())
    rough, near = _moved(crop, 0.2), _moved(crop, 0.25)
    monkeypatch.setattr(crops, "_in", lambda image, find=crops._in: [rough] if image.shape[0] != PART else find(image))
    (anew,), others = crops.of_everyone(image, ())
    assert others == [rough]
    assert anew.x_center == pytest.approx(crop.x_center, abs=0.05)
    assert anew.width == pytest.approx(crop.width, rel=0.1)
    assert crops.of_everyone(image, (anew, near)) == ([rough], [])


def _moved(crop, by):
    moved = type(crop)()
    moved.CopyFrom(crop)
    moved.x_center += by * crop.width
    return moved


def test_who_is_not_seen_in_the_crop_found_anew_is_seen_in_the_first(blazepose, rendered, monkeypatch):
    image, see = rendered[0][0], blazepose._seen
    (crop,), _ = blazepose._crops.of_everyone(image, ())
    monkeypatch.setattr(blazepose._crops, "of_everyone", lambda image, before: (["nowhere"], [crop]))
    monkeypatch.setattr(blazepose, "_seen", lambda image, crop: None if crop == "nowhere" else see(image, crop))
    assert len(blazepose.detect(image)[0]) == 1


def test_of_two_people_whose_crops_become_one_none_is_lost(blazepose, rendered, monkeypatch):
    """The crop of one may be found anew around the other."""
    image = rendered[0][0]
    (left,), _ = blazepose._crops.of_everyone(image, ())
    left.x_center, left.width = left.x_center / 2, left.width / 2
    right = type(left)()
    right.CopyFrom(left)
    right.x_center += 0.5
    image = np.hstack([image, image])
    monkeypatch.setattr(blazepose._crops, "of_everyone", lambda image, before: ([left, left], [right]))
    assert len(blazepose.detect(image)[0]) == 2


def test_who_is_followed_is_seen_where_they_were_rather_than_in_a_first_crop(blazepose, rendered, monkeypatch):
    """First crops, which were not found again, count only for those whom nothing else shows."""
    from epitool.detectors.blazepose import _Followed

    image = rendered[0][0]
    (left,), _ = blazepose._crops.of_everyone(image, ())
    left.x_center, left.width = left.x_center / 2, left.width / 2
    image = np.hstack([image, image])
    right, rough = _moved(left, 0.5 / left.width), _moved(left, 0.5 / left.width + 0.1)
    before = blazepose._seen(image, right)._replace(next_crop=right)
    monkeypatch.setattr(blazepose._crops, "of_everyone", lambda image, before: ([left, left], [rough]))
    _, followed = blazepose.follow(image, _Followed([before]), alone=False, turned=False)[1].people
    np.testing.assert_array_equal(followed.xy, before.xy)


def test_who_is_found_in_a_part_of_an_image_and_not_again_is_nobody(blazepose, rendered, monkeypatch):
    """In parts of images that show nobody the network often takes something for a person."""
    far, _ = _in_larger(rendered[0][0], 2.5, (0, 0))
    crops, find = blazepose._crops, blazepose._crops._in
    assert len(next(crops.in_parts(far))) == 1
    monkeypatch.setattr(crops, "_in", lambda image: [] if image.shape[0] == PART else find(image))
    assert list(crops.in_parts(far)) == [[], []]


def test_what_has_other_joints_in_a_second_look_is_nobody(blazepose):
    """A part of a roof is taken for somebody, who is elsewhere when looked at again."""
    image = load_sample_image("china.jpg")
    crops = [crop for of_parts in blazepose._crops.in_parts(image) for crop in of_parts]
    assert any(blazepose._seen(image, crop) for crop in crops)
    assert not len(blazepose.detect(image)[0])


def test_parts_in_which_people_are_looked_for_cover_an_image():
    from epitool.detectors.blazepose_crops import _starts

    for length, side in ((1920, 960), (1080, 960), (101, 100), (300, 100), (50, 100), (384, 192), (383, 191)):
        starts = _starts(length, side)
        assert starts[0] == 0
        assert starts[-1] + side >= length
        assert all(0 < second - first <= -(-side // 2) for first, second in itertools.pairwise(starts))


def test_what_is_around_a_person_becomes_grey_and_the_person_stays(blazepose, rendered):
    """At the image's edge, too: what lies beyond is black before it is grey."""
    from epitool.detectors.blazepose import _GREY

    images, truth = rendered
    trunk = [truth.poses.skeleton.index(name) for name in ("pelvis", "thorax", "left_knee", "right_knee")]
    for image, xy in zip(images[:4], truth.keypoints.xy.reshape(-1, 17, 2)):
        for left in (0, int(xy[:, 0].min()) - 3):
            cut = np.ascontiguousarray(image[:, left:])
            (person,) = blazepose.follow(cut, None, alone=True, turned=False)[1].people
            part = person.alone
            for x, y in xy[trunk] - [left, 0]:
                x_part, y_part = np.round(([x, y] - part.corner) * PART / part.side).astype(int)
                here = cut[round(y) - 2 : round(y) + 3, round(x) - 2 : round(x) + 3].reshape(-1, 3)
                shown = part.image[y_part, x_part]
                assert (shown != _GREY).any()
                assert ((shown >= here.min(axis=0).astype(int) - 2) & (shown <= here.max(axis=0).astype(int) + 2)).all()
            for y, x in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
                assert (part.image[y, x] == _GREY).all()


def test_a_person_who_fills_a_huge_image_is_not_copied_at_full_size():
    """What is shown of them stays where it is."""
    from epitool.detectors.blazepose_crops import part_around

    x, y = np.meshgrid(np.linspace(0, 255, 9000), np.linspace(0, 255, 500))
    image = np.stack([x, y, y], axis=-1).astype(np.uint8)
    tracemalloc.start()
    part = part_around(image, SimpleNamespace(x_center=0.4, y_center=0.6, width=1.0, height=1.0, rotation=0.0))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 200e6
    at = np.rint((np.array([[2000, 150], [7000, 350]]) - part.corner) * (PART / part.side) - 0.5).astype(int)
    expected = [image[round(py), round(px)] for px, py in part.corner + (at + 0.5) * (part.side / PART)]
    np.testing.assert_allclose(part.image[at[:, 1], at[:, 0]], expected, atol=6)


def test_looks_leave_no_masks_behind(blazepose, rendered, monkeypatch):
    """What mediapipe answers with is freed by the collector alone, which comes too seldom for a stream."""
    masks, process = [], blazepose._masks.process

    def watched(packets):
        found = process(packets)
        masks.append(weakref.ref(found.mask))
        return found

    monkeypatch.setattr(blazepose._masks, "process", watched)
    gc.disable()
    try:
        blazepose.follow(rendered[0][0], None, alone=True, turned=False)
    finally:
        gc.enable()
    assert masks
    assert all(mask() is None for mask in masks)


def test_blazepose_tells_who_is_found_twice():
    from epitool.detectors.blazepose import found_among

    person, trunk = np.random.default_rng(0).uniform(0, 100, (33, 2)), [11, 12, 23, 24]
    again, upside_down = person + 10, 2 * person[trunk].mean(axis=0) - person
    beside, small = person + np.array([50, 0]), 0.2 * person
    assert found_among(again, [beside, person], trunk)
    assert found_among(upside_down, [person], trunk)
    assert not found_among(beside, [person, again], trunk)
    assert not found_among(small, [person, beside], trunk)
    assert not found_among(person, [], trunk)


def test_where_blazepose_looks_next_depends_on_this_image_alone(blazepose, rendered):
    """Not on whom the network has seen before: mediapipe's own filter would mix the places of all crops."""
    image = rendered[0][0]
    (first,) = blazepose.follow(image, None, alone=False, turned=False)[1].people
    blazepose.follow(np.ascontiguousarray(image[:, ::-1]), None, alone=False, turned=False)
    (again,) = blazepose.follow(image, None, alone=False, turned=False)[1].people
    assert again.next_crop == first.next_crop


def test_blazepose_follows_who_is_in_view_and_nobody_else(blazepose, rendered, monkeypatch):
    image, later = rendered[0][0], rendered[0][4]  # of one view
    ((alone, *_),), people = blazepose.follow(image, None, alone=False, turned=False)
    ((again, *_),), followed = blazepose.follow(image, people, alone=False, turned=False)
    np.testing.assert_array_equal(alone, again)
    assert len(followed.people) == 1
    found = blazepose.detect(later)[0]
    monkeypatch.setattr(blazepose._crops, "_in", lambda image: [])
    assert not len(blazepose.detect(later)[0])
    ((by_track, *_),), _ = blazepose.follow(later, people, alone=False, turned=False)
    assert by_track.shape == found.shape
    assert np.median(np.linalg.norm(by_track - found, axis=-1)) < 3
    ((nobody, *_),), gone = blazepose.follow(np.full_like(image, 127), people, alone=False, turned=False)
    assert not len(nobody)
    assert not gone.people


def test_others_are_looked_for_in_one_image_of_five_of_a_video(blazepose, rendered, monkeypatch):
    """Until there are any, or everyone is lost: small ones where nobody is seen, and those behind who is."""
    from epitool.detectors.blazepose import _REST

    calls = list[str]()

    def count(name):
        search = getattr(blazepose, name)
        monkeypatch.setattr(blazepose, name, lambda *given: calls.append(name) or search(*given))

    def searched(images, turned=False):
        before, names = None, list[str]()
        for image in images:
            calls.clear()
            _, before = blazepose.follow(image, before, alone=turned, turned=turned)
            names.append("".join(calls))
        return names

    count("_small")
    count("_behind")
    image, rest = rendered[0][0], [""] * _REST
    empty = np.full_like(image, 127)
    assert searched([empty] * (2 * _REST + 3)) == ["_small", *rest, "_small", *rest, "_small"]
    assert searched([image] * (_REST + 2)) == ["_behind", *rest, "_behind"]
    assert searched([image, empty, empty, image]) == ["_behind", "", "_small", ""]
    assert searched([image, image, empty, empty], turned=True) == ["", "", "_small", ""]  # one person is answered


def test_somebody_whom_the_first_network_merges_with_another_is_found_with_them_painted_over(
    blazepose, rendered, monkeypatch
):
    find, image = blazepose._crops._in, rendered[0][0]
    two = np.hstack([image, image])
    monkeypatch.setattr(blazepose._crops, "_in", lambda image: find(image)[:1])
    for alone in (False, True):
        ((xy, *_),), _ = blazepose.follow(two, None, alone, turned=False)
        assert len(xy) == 2
    monkeypatch.setattr("epitool.detectors.blazepose._STAYS", -1.0)  # nobody has the same joints in a second look
    assert len(blazepose.detect(two)[0]) == 1


def test_who_is_painted_over_is_found_no_more(blazepose, rendered):
    """Nor does a person whose joints are far beyond the image's edge end the search."""
    image = rendered[0][0]
    (person,) = blazepose.follow(image, None, alone=False, turned=False)[1].people
    painted = blazepose._painted_over(image, [person])
    assert not blazepose._crops.of_everyone(painted, ())[0]
    mask = blazepose._masks.process({"image": image, "crop": person.next_crop}).mask > 0.5
    assert 0.5 < (painted != image).any(axis=-1).sum() / mask.sum() < 2
    far = person._replace(xy=person.xy + np.array([1e12, -1e12]))
    np.testing.assert_array_equal(blazepose._painted_over(image, [far]), image)


def test_blazepose_finds_nobody_where_nobody_is(blazepose):
    xy, confidence, xyz = blazepose.detect(np.full((64, 96, 3), 127, np.uint8))
    assert (xy.shape, confidence.shape, xyz.shape) == ((0, 33, 2), (0, 33), (0, 33, 3))
