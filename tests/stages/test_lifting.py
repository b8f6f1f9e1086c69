"""Single images to poses: what looks and neighbouring frames agree on, sizes, edges of images, and who answers."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from epitool.errors import GeometryError, InputError, UsageError
from epitool.io.keypoints_h5 import write_keypoints
from epitool.io.labels_h5 import write_labels
from epitool.nn.looks import BODY, LIMBS, PELVIS, Looks, body_joints, described, face_apart, from_facing, unit_size
from epitool.nn.mocap import Cameras, median_lengths, mirrored, place_before_cameras
from epitool.nn.refiner import SHIPPED, Refiner, load_refiner, reference_lengths
from epitool.nn.refining import agreed_poses, move_to_rays, sized
from epitool.nn.times import Times, smoothed
from epitool.options import PredictOptions
from epitool.pose import Keypoints, Predictions, square_boxes
from epitool.skeleton import skeleton
from epitool.stages import predict
from epitool.stages.shared import looking
from epitool.stages.shared.looking import FileLooks
from epitool.stages.shared.seen_in_images import inside, times_of, without_unseen
from epitool.synthetic import labels_of, walking_room
from epitool.synthetic.motion import random_motion

H36M = skeleton("h36m17")
DOWN = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # z up to y down
ALONE = Times.unrelated(1)
LOWER = np.array([0.0, 3.0])


def walk(count=60, seed=0, fps=30.0, yaw=0.0):
    """Someone who moves on the spot before a level camera, `(count, 16, 3)` mm."""
    poses, _ = body_joints(random_motion(count, seed, fps).xyz @ DOWN.T, H36M)
    poses = poses - poses[:, [PELVIS]]
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    return poses @ turn.T + [0, 0, 4500.0]


def looks_at(poses, hint=True):
    rays = poses[..., :2] / poses[..., 2:]
    return Looks(rays, np.ones(rays.shape[:2]), poses if hint else np.full(poses.shape, np.nan))


def some(looks, other, chosen):
    """The looks, but the others where chosen."""
    pick = chosen[:, None, None]
    return Looks(
        np.where(pick, other.rays, looks.rays), looks.confidence, np.where(pick, other.hint, looks.hint)
    )  # fmt: skip


def mistaken(looks):
    """Taken for somebody who faces the other way, with all that follows: near is far."""
    order = BODY.flip_order
    return Looks(looks.rays[:, order], looks.confidence[:, order], looks.hint[:, order] * [1.0, 1.0, -1.0])


class Plain(Refiner):
    """Takes the hint for the answer; where there is none, what it was told of the same joints in the image."""

    def know(self, *looks):
        told = {rays.tobytes(): pose for look in looks for rays, pose in zip(look.rays, look.hint)}
        self.__dict__["told"] = told

    def answers(self, looks):
        told, nothing = self.__dict__.get("told", {}), np.full((len(BODY), 3), np.nan)
        poses = [
            told.get(rays.tobytes(), nothing) if np.isnan(hint).any() else hint
            for rays, hint in zip(looks.rays, looks.hint)
        ]
        return np.where(looks.usable[:, None, None], unit_size(np.array(poses))[0], np.nan)


@pytest.fixture
def plain():
    shipped = load_refiner()
    return Plain(**{name: getattr(shipped, name) for name in shipped.__dataclass_fields__})


def video(count, fps=30.0):
    return Times(np.zeros(count, dtype=int), np.arange(count) / fps)


def test_sides_taken_for_each_other_now_and_then_are_put_right_in_a_video(plain):
    poses = walk()
    looks = looks_at(poses)
    wrong = np.zeros(60, dtype=bool)
    wrong[[5, 20, 21, 22, 23, 24, 25, 40]] = True
    seen = some(looks, mistaken(looks), wrong)
    plain.know(looks, mistaken(looks))
    found = agreed_poses(plain, [seen], video(60))
    assert found.exchanged.tolist() == wrong.tolist()
    assert not face_apart(found.poses, poses).any()
    alone = agreed_poses(plain, [seen], Times.unrelated(60))
    assert not alone.exchanged.any()


def test_sides_that_several_views_have_told_are_kept(plain):
    """Whatever neighbouring frames say, and in those images alone."""
    poses = walk()
    looks = looks_at(poses)
    turned, known = np.zeros((2, 60), dtype=bool)
    turned[[20, 21, 40]], known[[20, 21]] = True, True
    plain.know(looks, mistaken(looks))
    found = agreed_poses(plain, [some(looks, mistaken(looks), turned)], video(60), known)
    assert np.flatnonzero(found.exchanged).tolist() == [40]


def test_frames_that_show_somebody_else_are_no_neighbours():
    """A detector takes now one and now another of two people; who walks stays the same."""
    boxes = np.tile([0.0, 0.0, 100.0, 100.0], (12, 1))
    boxes[:, 0] += 4.0 * np.arange(12)
    other = np.array([3, 4, 8])
    boxes[other, 0] += 300.0
    boxes[10] = np.nan
    found = video(12).of_people(boxes)
    runs = [run.tolist() for run in found.runs(np.isfinite(boxes[:, 0]))]
    assert sorted(runs) == [[0, 1, 2, 5, 6, 7, 9, 11], [3, 4, 8]]
    slowly = Times(np.zeros(12, dtype=int), np.arange(12.0))
    assert len(slowly.of_people(boxes).runs(np.isfinite(boxes[:, 0]))) == 11


def test_who_is_far_away_is_somebody_else_also_where_time_goes_back():
    boxes = np.array([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 10.0], [5000.0, 5000.0, 10.0, 10.0]])
    found = Times(np.zeros(3, dtype=int), np.array([1.0, 5.0, 0.0])).of_people(boxes)
    assert len(set(found.sequence.tolist())) == 3


def test_who_comes_near_the_camera_stays_the_same():
    """The corner of the box moves, and its middle does not."""
    side = 100.0 * 1.3 ** np.arange(8)
    boxes = np.column_stack([500 - side / 2, 400 - side / 2, side, side])
    assert len(video(8).of_people(boxes).runs(np.ones(8, dtype=bool))) == 1


def test_frames_of_several_videos_may_come_in_any_order():
    times = Times(np.array([7, 8, 7, 8]), np.array([0.0, 0.0, 0.1, 0.1]))
    assert [run.tolist() for run in times.runs(np.ones(4, dtype=bool))] == [[0, 2], [1, 3]]


def test_two_people_who_face_each_other_are_not_made_to_face_the_same_way(plain):
    """A detector takes now one and now the other, and sees both rightly."""
    first, second = looks_at(walk(60)), looks_at(walk(60, yaw=np.pi))
    other = np.arange(60) // 5 % 2 == 1
    plain.know(first, second, mistaken(first), mistaken(second))
    seen = some(first, second, other)
    boxes = np.tile([0.0, 0.0, 100.0, 100.0], (60, 1)) + np.outer(other, [400.0, 0, 0, 0])
    assert not agreed_poses(plain, [seen], video(60).of_people(boxes)).exchanged.any()


def test_perspective_tells_the_sides_even_where_most_looks_are_wrong(plain):
    """A body turned the wrong way fits the rays of its joints less well."""
    poses = walk()
    looks = looks_at(poses)
    right = np.zeros(60, dtype=bool)
    right[10:18] = True
    plain.know(looks, mistaken(looks))
    found = agreed_poses(plain, [some(mistaken(looks), looks, right)], video(60))
    assert found.exchanged.tolist() == (~right).tolist()
    assert not face_apart(found.poses, poses).any()


def test_two_looks_that_face_the_same_way_are_averaged(plain):
    poses = walk(5)
    plain.know(looks_at(poses))
    shifted = replace(looks_at(poses), hint=poses + np.random.default_rng(0).normal(0, 30, poses.shape))
    both = agreed_poses(plain, [looks_at(poses), shifted], Times.unrelated(5)).poses
    one = agreed_poses(plain, [looks_at(poses)], Times.unrelated(5)).poses
    other = agreed_poses(plain, [shifted], Times.unrelated(5)).poses
    np.testing.assert_allclose(both, (one + other) / 2, atol=0.02)


def test_further_looks_tell_which_of_the_first_two_is_right(plain):
    """All that face as the look does that fits its rays best are averaged, the first two with twice the weight."""
    poses, rng = walk(5), np.random.default_rng(0)
    right, poor, poorer = (
        replace(looks_at(poses), hint=poses + rng.normal(0, sd, poses.shape)) for sd in (0.0, 20.0, 30.0)
    )
    wrong, alone = mistaken(looks_at(poses)), Times.unrelated(5)

    def answered(*looks):
        return agreed_poses(plain, looks, alone).poses

    plain.know(right, wrong)
    straight, further = answered(poor), answered(right) + answered(poorer)
    for first, twice in (([wrong, poor], 2), ([poor, wrong], 2), ([poor, poor], 4)):
        mean = (twice * straight + further) / (twice + 2)
        np.testing.assert_allclose(answered(*first, right, poorer), mean, atol=0.02)
    np.testing.assert_allclose(answered(wrong, wrong, right, poorer), further / 2, atol=0.02)
    np.testing.assert_array_equal(answered(wrong, wrong, wrong, right), answered(right))


def test_of_two_looks_that_face_opposite_ways_the_one_that_fits_its_rays_counts(plain):
    looks = looks_at(walk(6))
    found = agreed_poses(plain, [mistaken(looks), looks], Times.unrelated(6))
    assert not face_apart(found.poses, looks.hint).any()


def test_of_two_looks_that_face_opposite_ways_a_poor_hint_does_not_outweigh_the_joints(plain):
    """The hint of a mistaken look agrees with its joints; what is told of the joints alone fits the right look."""
    looks = looks_at(walk(6))
    plain.know(looks, mistaken(looks))
    poor = replace(looks, hint=looks.hint + np.random.default_rng(0).normal(0, 30, looks.hint.shape))
    assert face_apart(plain.answers(mistaken(looks)), looks.hint).all()
    found = agreed_poses(plain, [mistaken(looks), poor], Times.unrelated(6))
    assert not face_apart(found.poses, looks.hint).any()


def test_a_unit_that_has_learned_a_recording_leaves_it_to_the_one_for_everybody_which_look_is_right(plain):
    """It comes close to the rays of a mistaken look as well; its answer to the right look is what counts then."""
    poses, alone = walk(40), Times.unrelated(40)
    wrong = mistaken(looks_at(poses))
    depth = 2 * poses[:, [PELVIS], 2:] - poses[:, BODY.flip_order, 2:]  # near is far, and all joints on their rays
    wrong = replace(wrong, hint=np.concatenate([wrong.rays * depth, depth], axis=-1))
    right = replace(looks_at(poses), hint=poses + np.random.default_rng(0).normal(0, 20, poses.shape))
    by_heart, judge = replace(plain, recording_id="a recording"), replace(plain)
    by_heart.know(right, wrong)
    judge.know(looks_at(poses), mistaken(looks_at(poses)))
    by_heart.__dict__["judge"] = by_heart
    fooled = agreed_poses(by_heart, [wrong, right], alone).poses
    assert face_apart(fooled, poses).mean() > 0.8
    by_heart.__dict__["judge"] = judge
    judge.__dict__["answers"] = lambda looks: Plain.answers(judge, looks.without_hint())
    assert not face_apart(agreed_poses(by_heart, [wrong, right], alone).poses, poses).any()


def test_who_tells_which_look_is_right():
    shipped = load_refiner()
    assert shipped.judge is shipped
    own = replace(shipped, recording_id="a recording", weights={name: 0 * w for name, w in shipped.weights.items()})
    np.testing.assert_array_equal(own.judge.weights["residual.leave.bias"], shipped.weights["residual.leave.bias"])


def test_how_far_looks_agree_on_the_way_somebody_faces_is_said(plain):
    """In videos those around count as well, with their sides put right."""
    looks, wrong = looks_at(walk(20)), np.zeros(20, dtype=bool)
    wrong[5] = True
    once = some(looks, mistaken(looks), wrong)
    plain.know(looks, mistaken(looks))
    alone = agreed_poses(plain, [looks, once], Times.unrelated(20)).facing
    assert (alone[~wrong] > 0.99).all()
    assert abs(alone[5]) < 0.5
    in_time = agreed_poses(plain, [once, once], video(20))
    assert in_time.exchanged.tolist() == wrong.tolist()
    assert (in_time.facing > 0.9).all()


def test_exchanged_answers_have_no_hint_and_are_not_preferred_for_moving_less(plain):
    """The hints of a detector jitter, and the joints alone do not; its sides are right."""
    looks = looks_at(walk(90))
    jitter = np.random.default_rng(0).normal(0, 60, looks.hint.shape)
    plain.know(looks, mistaken(looks))
    found = agreed_poses(plain, [replace(looks, hint=looks.hint + jitter)], video(90, 60.0))
    assert not found.exchanged.any()


def test_answers_are_moved_a_third_towards_those_without_hints_that_face_the_same_way(plain):
    poses, alone = walk(5), Times.unrelated(5)
    looks = looks_at(poses)
    hinted = replace(looks, hint=poses + np.random.default_rng(0).normal(0, 30, poses.shape))
    by_hint, by_joints = (unit_size(each)[0] for each in (hinted.hint, poses))
    plain.know(looks)
    third = (2 * by_hint + by_joints) / 3
    np.testing.assert_allclose(agreed_poses(plain, [hinted], alone).poses, move_to_rays(third, looks.rays)[0])
    plain.know(replace(looks, hint=looks.hint * [-1.0, 1.0, -1.0]))
    np.testing.assert_allclose(agreed_poses(plain, [hinted], alone).poses, move_to_rays(by_hint, looks.rays)[0])


def test_a_look_at_nobody_leaves_the_other_one(plain):
    looks = looks_at(walk(4))
    plain.know(looks)
    nobody = Looks(np.full(looks.rays.shape, np.nan), 0 * looks.confidence, np.full(looks.hint.shape, np.nan))
    found = agreed_poses(plain, [nobody, looks], video(4))
    assert np.isfinite(found.poses).all()
    assert np.isnan(agreed_poses(plain, [nobody, nobody], video(4)).poses).all()


def test_videos_with_a_gap_are_not_joined():
    times = Times(np.zeros(4, dtype=int), np.array([0.0, 0.1, 3.0, 3.1]))
    assert [run.tolist() for run in times.runs(np.array([True, True, True, True]))] == [[0, 1], [2, 3]]
    assert [run.tolist() for run in times.runs(np.array([True, False, False, True]))] == [[0], [3]]
    backwards = Times(times.sequence, times.seconds[::-1])
    assert [run.tolist() for run in backwards.runs(np.ones(4, dtype=bool))] == [[0], [1], [2], [3]]


def test_exact_poses_stay_where_they_are_on_their_rays():
    poses = walk(10)
    found, root = move_to_rays(poses - poses[:, [PELVIS]], poses[..., :2] / poses[..., 2:])
    np.testing.assert_allclose(found, poses - poses[:, [PELVIS]], atol=1e-6)
    np.testing.assert_allclose(root, poses[:, PELVIS], atol=1e-6)


def test_joints_are_drawn_halfway_to_their_rays_and_unseen_ones_stay():
    poses = walk(3)
    rays = poses[..., :2] / poses[..., 2:]
    wrist, hand = BODY.index("left_wrist"), BODY.index("right_wrist")
    moved = poses.copy()
    moved[:, [wrist, hand], 0] += 60.0
    rays[:, hand] = np.nan
    found, _ = move_to_rays(moved - moved[:, [PELVIS]], rays)
    error = found - (poses - poses[:, [PELVIS]])
    assert np.abs(error[:, hand, 0] - 60).max() < 12
    assert (np.abs(error[:, wrist, 0]) < 40).all()


def test_poses_get_the_size_of_the_bones():
    poses = walk(4)
    assert median_lengths(sized(poses, 2 * median_lengths(poses)))[LIMBS[1:]] == pytest.approx(
        2 * median_lengths(poses)[LIMBS[1:]], rel=0.02
    )


def test_smoothing_lowers_jitter_and_keeps_what_is_missing():
    rng, poses = np.random.default_rng(0), walk(200, fps=60.0)
    noisy = poses + rng.normal(0, 20, poses.shape)
    noisy[50] = np.nan
    found = smoothed(noisy, video(200, 60.0), 0.05)
    assert np.isnan(found[50]).all()
    known = np.arange(200) != 50
    jitter = [np.abs(np.diff(xyz[51:], 2, axis=0)).mean() for xyz in (noisy, found)]
    assert jitter[1] < 0.2 * jitter[0]
    assert np.abs(found - poses)[known].mean() < 0.7 * np.abs(noisy - poses)[known].mean()


def test_smoothing_leaves_steady_motion_as_it_is_to_the_ends_of_a_video():
    steady = np.arange(30.0)[:, None, None] * [1.0, -2.0, 0.5] + np.zeros((30, len(BODY), 3))
    steady[[4, 5, 20]] = np.nan
    np.testing.assert_allclose(smoothed(steady, video(30), 0.05), steady, atol=1e-9)
    alone = np.full((30, len(BODY), 3), np.nan)
    alone[7] = 3.0
    np.testing.assert_array_equal(smoothed(alone, video(30), 0.05), alone)


def test_the_shipped_unit_treats_both_sides_alike_and_beats_its_noisy_hint():
    refiner = load_refiner()
    poses = place_before_cameras(walk(200) - [0, 0, 4500.0], Cameras(fallen=0.0), np.random.default_rng(0))
    exact = looks_at(poses)
    hint = poses - poses[:, [PELVIS]]
    hint = hint * [1, 1, 0.7] + np.random.default_rng(1).normal(0, 60, poses.shape)
    looks = replace(exact, hint=hint)
    answers = refiner.answers(looks)
    np.testing.assert_allclose(mirrored(refiner.answers(looks.mirrored()), BODY), answers, atol=1e-5)
    truth = poses - poses[:, [PELVIS]]
    assert _nmpjpe(answers, truth) < 0.8 * _nmpjpe(hint - hint[:, [PELVIS]], truth)
    assert _nmpjpe(refiner.answers(looks.without_hint()), truth) < 140


def _nmpjpe(poses, truth):
    scale = (poses * truth).sum(axis=(1, 2)) / (poses**2).sum(axis=(1, 2))
    return np.linalg.norm(scale[:, None, None] * poses - truth, axis=-1).mean()


def test_the_shipped_unit_is_small_and_made_for_everybody():
    assert SHIPPED.stat().st_size <= 5e6
    refiner = load_refiner()
    assert (refiner.unit, refiner.recording_id, refiner.hint) == ("arbitrary", "", "detector")
    np.testing.assert_allclose(refiner.lengths, reference_lengths())


def test_joints_beyond_the_edge_are_told():
    xy = np.array([[[10.0, 10], [50, 120], [-30, 50], [np.nan, np.nan]]])
    assert inside(xy, np.array([[100, 100]])).tolist() == [[True, False, False, False]]


def test_only_frames_of_videos_follow_each_other(tmp_path):
    times = times_of(["a.jpg", "b.jpg", "walk.mp4#3", "walk.mp4#4", "run.mp4#4"])
    assert len(set(times.sequence.tolist())) == 4
    assert times.sequence[2] == times.sequence[3]
    assert times.seconds[3] - times.seconds[2] == pytest.approx(1 / 30)


class Posed:
    """Sees somebody who stands, in the upper two thirds of the image; as many people as asked for."""

    name, skeleton, people = "posed", skeleton("h36m17"), 1

    def detect(self, image):
        height, width = image.shape[:2]
        pose = walk(1)[0]
        xy = pose[:, :2] / pose[:, 2:] * 0.9 * height + [width / 2, height / 2]
        full = np.insert(xy, 7, xy[[0, 7]].mean(axis=0), axis=0)  # the spine
        return np.repeat(full[None], self.people, axis=0), np.ones((self.people, 17))


@pytest.fixture
def posed(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(predict, "open_detector", lambda *a: Posed())
    cv2.imwrite("img.jpg", np.full((300, 200, 3), 90, np.uint8))
    return Posed


def run(**options):
    return predict.run(PredictOptions(images=["img.jpg"], **options))


def poses_of(path="pose.json"):
    return json.loads(Path(path).read_bytes())["poses"][0]


def test_an_image_is_answered_right_after_installation(posed):
    summary = run()
    assert "1 pose by the shipped unit, in the size of a body of stature 1700" in summary.text
    assert summary.values["refiner"] == "shipped"
    joints = np.array(poses_of()["joints_3d"])
    assert joints.shape == (17, 3)
    assert np.isfinite(joints).all()
    assert (joints[0] == 0).all()


def test_all_images_that_cannot_be_decoded_are_named(posed):
    for name in ("bad.png", "worse.png"):
        Path(name).write_text("no image")
    with pytest.raises(InputError, match=r"2 images: bad\.png, worse\.png cannot be decoded; leave them out"):
        predict.run(PredictOptions(images=("bad.png", "img.jpg", "worse.png")))


def test_an_image_that_is_gone_is_not_called_undecodable(posed, monkeypatch):
    Path("bad.png").write_text("no image")
    monkeypatch.setattr(predict, "image_names", lambda *_, **__: ["img.jpg", "bad.png", "gone.png"])
    with pytest.raises(InputError, match=r"^image bad\.png: cannot be decoded"):
        predict.run(PredictOptions(images=("bad.png",)))


def test_height_gives_the_size(posed):
    run(out=Path("a.json"))
    summary = run(out=Path("b.json"), height="1.87m")
    assert summary.values["unit"] == "mm"
    assert summary.values["scale_source"] == "height=1870mm"
    a, b = (np.array(poses_of(name)["joints_3d"]) for name in ("a.json", "b.json"))
    np.testing.assert_allclose(b, a * 1.1, atol=1)


def test_root_depth_gives_the_size(posed):
    summary = run(root_depth=4500.0)
    joints = np.array(poses_of()["joints_3d"])
    assert "distance of the root" in summary.values["depth"]
    assert 1000 < np.ptp(joints[:, 1]) < 2200


@pytest.mark.parametrize(
    "options", [{"height": "tall"}, {"height": "1.8m", "root_depth": 3.0}, {"no_refiner": True, "height": "1.8m"}]
)
def test_sizes_that_make_no_sense_are_refused(posed, options):
    with pytest.raises(UsageError):
        run(**options)


def test_several_people_are_said(posed, monkeypatch, capsys):
    monkeypatch.setattr(posed, "people", 2)
    run()
    assert "several people in 1 image: img.jpg" in capsys.readouterr().err


def test_it_is_said_if_it_is_unsure_which_way_somebody_faces(posed, monkeypatch, capsys):
    run()
    assert "which way" not in capsys.readouterr().err
    assert poses_of()["facing"] > 0.9

    class Mistaken(Posed):
        def detect(self, image):
            xy, sure = super().detect(image)
            return xy[:, H36M.flip_order], sure

    looks = iter([Posed(), Mistaken()])  # at the image and at its mirror image
    monkeypatch.setattr(predict, "open_detector", lambda *a: next(looks))
    assert run().values["facing_unsure"] == ["img.jpg"]
    assert "which way the person faces is unsure in 1 image: img.jpg" in capsys.readouterr().err
    assert poses_of()["facing"] < 0.5


def test_nothing_is_invented_beyond_the_edge(posed, monkeypatch, capsys):
    """A portrait: the detector guesses legs below the image, and no answer has them."""
    whole = posed.detect

    def lower(self, image):
        xy, sure = whole(self, image)
        return (xy - [[100.0, 150.0]]) * 2.2 + [[100.0, 260.0]], sure

    monkeypatch.setattr(posed, "detect", lower)
    run()
    pose = poses_of()
    shown = [joint[0] is not None for joint in pose["joints_3d"]]
    names = H36M.joints
    assert shown[names.index("left_shoulder")]
    assert not shown[names.index("left_ankle")]
    assert not shown[names.index("right_knee")]
    assert pose["confidence"][names.index("left_ankle")] == 0
    assert "parts of the body are outside 1 image: img.jpg" in capsys.readouterr().err


def test_of_a_network_s_answer_too_what_is_beyond_the_edge_is_left_out():
    """The wrist by the network's own place, the ankle by the detector's; a root beyond the edge is the origin still."""
    names, size = ("a.png", "b.png"), np.array([[200, 300], [200, 300]])
    in_image = np.random.default_rng(0).uniform(50, 150, (2, len(H36M), 2))
    by_network, detected = in_image.copy(), in_image.copy()
    wrist, ankle, nose = (H36M.index(name) for name in ("left_wrist", "right_ankle", "neck_nose"))
    by_network[1, [H36M.root, wrist]] = [150, 340]
    detected[1, ankle], detected[:, nose] = [150, 340], np.nan
    poses = np.random.default_rng(1).normal(0, 300, (2, len(H36M), 3))
    answer = Predictions(names, np.ones((2, 4)), poses, by_network, np.ones((2, 17)), H36M, "mm", {})
    seen = looking.Seen(detected[:, None], np.ones((2, 1, 17)), np.full((2, 1, 17, 3), np.nan), H36M)
    for found, left_out in ((seen, [wrist, ankle]), (None, [wrist])):
        kept = without_unseen(answer, names, SimpleNamespace(image_size=size, found=found), smooth=False)
        expected = poses.copy()
        expected[1, left_out] = np.nan
        np.testing.assert_array_equal(kept.joints_3d, expected)
        assert sorted(np.flatnonzero(kept.confidence[1] == 0)) == sorted([H36M.root, *left_out])
        assert kept.confidence[0].all()


def test_too_little_of_a_person_is_nobody(posed, monkeypatch):
    whole = posed.detect
    monkeypatch.setattr(posed, "detect", lambda self, image: (whole(self, image)[0] + [0, 240], np.ones((1, 17))))
    with pytest.raises(GeometryError, match="too little of anybody"):
        run()
    assert not Path("pose.json").exists()


def test_joints_of_a_file_do_without_the_image(posed):
    xy, _ = Posed().detect(np.zeros((300, 200, 3), np.uint8))
    keypoints = Keypoints(
        xy[:, None], np.ones((1, 1, 17)), np.array([0]), ("cam",), np.array([["img.jpg"]]), np.array([[200, 300]]), H36M
    )
    write_keypoints("keypoints.h5", keypoints)
    Path("img.jpg").unlink()
    Path("img.jpg").touch()
    summary = run(boxes=Path("keypoints.h5"))
    assert summary.values["boxes"] == "joints of keypoints.h5"
    assert np.isfinite(np.array(poses_of()["joints_3d"])).all()


def test_labels_know_the_sides_where_they_have_a_pose_and_keypoints_do_not(tmp_path):
    names = np.array([[str(tmp_path / f"{frame}-{view}.jpg") for view in range(4)] for frame in range(2)])
    truth = labels_of(random_motion(2, 0).xyz, walking_room(), names)
    gap = truth.poses.xyz.copy()
    gap[1] = np.nan
    labels, keypoints = tmp_path / "labels.h5", tmp_path / "keypoints.h5"
    write_labels(labels, replace(truth, poses=replace(truth.poses, xyz=gap)))
    write_keypoints(keypoints, truth.keypoints)
    asked = [names[0, 3], names[1, 0]]
    assert FileLooks(asked, labels, 1.25).found.sides_known.tolist() == [True, False]
    assert FileLooks(asked, keypoints, 1.25).found.sides_known is None


def test_the_mirror_look_finds_the_same_person():
    """A detector that is right: its look at the mirror image, mirrored back, is its look at the image."""
    image = np.zeros((300, 200, 3), np.uint8)

    class Lopsided(Posed):
        def detect(self, image):
            xy, sure = super().detect(image)
            moved = xy + np.array([20.0, 0.0])
            if image[0, 0, 0]:  # the mirror image
                moved = np.array([199.0, 0.0]) - moved * [1, -1]
                moved = moved[:, H36M.flip_order]
            return moved, sure

    image[:, 100:] = 255
    looks = looking.DetectorLooks((Lopsided(), Lopsided()), ALONE, None, 1.25)
    looks(0, image)
    np.testing.assert_allclose(looks.found.xy[0, 1], looks.found.xy[0, 0], atol=1e-9)


@pytest.mark.parametrize("scale", [lambda c: c, lambda c: 0.3 * c**4, lambda c: 10 * c, np.expm1])
def test_the_box_of_a_person_does_not_depend_on_the_scale_of_confidence(scale):
    """Any strictly increasing map of confidence leaves the box as it is; only joints in the image determine it."""

    class Unsure(Posed):
        def detect(self, image):
            xy, sure = super().detect(image)
            sure = np.linspace(0.05, 0.95, sure.size).reshape(sure.shape)
            xy = xy.copy()
            xy[0, 0] = [-150.0, 900.0]  # a joint that is only guessed, outside of the image
            return xy, scale(sure)

    image = np.full((300, 200, 3), 255, np.uint8)
    looks = looking.DetectorLooks((Unsure(), Unsure()), ALONE, None, 1.25)
    box = looks(0, image)
    inside_ones = looks.found.xy[0, 0, 1:]
    np.testing.assert_allclose(box, square_boxes(inside_ones, 1.25))
    assert np.isfinite(box).all()


def test_a_pose_in_axes_that_look_straight_at_the_person_is_turned_to_the_cameras():
    poses = walk(5) + np.array([2500.0, -600.0, 0.0])  # far to the right
    looks = looks_at(poses)
    _, R, _ = described(looks)
    straight = (poses - poses[:, [PELVIS]]) @ np.swapaxes(R, 1, 2)
    turned_back = from_facing(straight, looks.rays)
    np.testing.assert_allclose(turned_back, poses - poses[:, [PELVIS]], atol=1e-6)
    assert np.abs(straight - turned_back).max() > 100  # mm: it is not the same


def test_no_refiner_without_a_model_says_what_to_do(posed):
    with pytest.raises(InputError, match="epitool train"):
        run(no_refiner=True)


def test_a_mirror_look_that_takes_left_for_right_is_of_the_same_person_still():
    class Exchanging(Posed):
        def detect(self, image):
            xy, sure = super().detect(image)
            return (xy[:, H36M.flip_order], sure) if image[0, 0, 0] else (xy, sure)

    image = np.zeros((300, 200, 3), np.uint8)
    image[:, 100:] = 255
    looks = looking.DetectorLooks((Exchanging(), Exchanging()), ALONE, None, 1.25)
    looks(0, image)
    assert np.isfinite(looks.found.xy[0, 1]).all()


class Repeating(Posed):
    """Sees everything 3 px further right where others are hidden, and in a turned look 3 px further down."""

    def follow(self, image, before, alone, turned):
        assert alone
        assert before in (None, ["where"])
        xy, sure = self.detect(image)
        return [(xy + LOWER[::-1], sure), *[(xy + LOWER, sure)] * turned], ["where"]


def test_others_are_hidden_and_a_detector_that_can_takes_turned_looks():
    """Each turned look, at the image and at its mirror, is kept beside the first; a box does not change that."""
    image = np.zeros((300, 200, 3), np.uint8)
    for box in (None, np.array([0.0, 0.0, 200.0, 300.0])):
        looks = looking.DetectorLooks(
            (Repeating(), Repeating()), Times(np.array([0, 1, 1]), np.array([0.0, 0.0, 0.1])), box, 1.25
        )
        for i in range(2):
            looks(i, image)
        first, mirrored, again, mirrored_again = looks.found.xy[0]
        np.testing.assert_allclose(first, Posed().detect(image)[0][0] + LOWER[::-1])
        np.testing.assert_allclose(again - first, np.broadcast_to(LOWER - LOWER[::-1], first.shape))
        np.testing.assert_allclose(mirrored_again - mirrored, np.broadcast_to(LOWER + LOWER[::-1], first.shape))
        np.testing.assert_array_equal(looks.found.xy[1], looks.found.xy[0])
    unable = looking.DetectorLooks((Posed(), Posed()), ALONE, None, 1.25)
    assert unable.found.xy.shape[1] == 2


def test_nobody_in_any_image_is_one_line_and_no_file(posed, monkeypatch):
    monkeypatch.setattr(posed, "detect", lambda self, image: (np.empty((0, 17, 2)), np.empty((0, 17))))
    with pytest.raises(GeometryError, match="nobody, or too little of anybody, was found in 1 image"):
        run()
    assert not Path("pose.json").exists()


def test_images_without_anybody_are_named_and_the_others_answered(posed, monkeypatch):
    cv2.imwrite("empty.png", np.zeros((300, 200, 3), np.uint8))
    whole, nobody = posed.detect, (np.empty((0, 17, 2)), np.empty((0, 17)))
    monkeypatch.setattr(posed, "detect", lambda self, image: whole(self, image) if image.any() else nobody)
    summary = predict.run(PredictOptions(images=["empty.png", "img.jpg"]))
    assert summary.values["without_person"] == ["empty.png"]
    assert "nobody, or too little of anybody, in 1 image: empty.png" in summary.text
