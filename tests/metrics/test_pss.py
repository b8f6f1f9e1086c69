from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from sklearn.metrics import adjusted_rand_score

from epitool.errors import GeometryError, InputError, UsageError
from epitool.io.npz import read_pss, write_pss
from epitool.io.pose_arrays import read_pose_arrays
from epitool.metrics import mpjpe
from epitool.options import PssFitOptions
from epitool.pss import Yaw, assign, find_up, fit_pss, normalized, pss, yaw_of
from epitool.pss.fitting import consensus_of, count_distinct, draw_starts, fit_runs, flat_poses
from epitool.skeleton import skeleton, skeleton_of
from epitool.stages import pss_fit
from epitool.synthetic.motion import random_motion

H36M = skeleton("h36m17")
ROOT = H36M.root
LEG = ("Hip", "Knee", "Foot")
ARM = ("Shoulder", "Elbow", "Wrist")
H36M_NAMES = ["Hip", *("R" + j for j in LEG), *("L" + j for j in LEG), "Spine", "Thorax", "Nose", "Head"]
H36M_NAMES += [*("L" + j for j in ARM), *("R" + j for j in ARM)]


def clusters_of_poses(kinds=6, each=30, noise=8.0, seed=0):
    """Poses around a few very different ones, and which each is a copy of."""
    rng = np.random.default_rng(seed)
    prototypes = rng.normal(0, 300, (kinds, len(H36M), 3))
    which = np.repeat(np.arange(kinds), each)
    return prototypes[which] + rng.normal(0, noise, (len(which), len(H36M), 3)), which


def fit(poses, *ks, seed=0, **options):
    return fit_pss(poses, H36M, ks, seed, "a test", **options)


def turned(poses, angle, axis=2):
    """Poses turned about an axis by one angle each."""
    rotvec = np.zeros((len(poses), 3))
    rotvec[:, axis] = angle
    return np.einsum("nij,nkj->nki", Rotation.from_rotvec(rotvec).as_matrix(), poses)


def test_kmeans_finds_the_kinds_of_pose():
    poses, which = clusters_of_poses()
    codebook = fit(poses, 6).codebook(6)
    assert adjusted_rand_score(which, assign(poses, codebook, ROOT)) == 1
    np.testing.assert_allclose(np.linalg.norm(codebook.centers, axis=(1, 2)), 1)


@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
@settings(max_examples=20, deadline=None)
def test_score_does_not_change_with_size_and_place(seed, scale):
    poses, _ = clusters_of_poses()
    rng = np.random.default_rng(seed)
    prediction = poses + rng.normal(0, 150, poses.shape)
    ours = pss(scale * prediction + rng.normal(0, 100, 3), poses, codebook(), ROOT)
    np.testing.assert_array_equal(ours, pss(prediction, poses, codebook(), ROOT))


@cache
def codebook():
    """Of six clusters; not made where the module is only looked through for tests."""
    return fit(clusters_of_poses()[0], 6).codebook(6)


def test_truth_scores_one_and_another_kind_of_pose_zero():
    poses, _ = clusters_of_poses()
    assert pss(poses, poses, codebook(), ROOT).mean() == 1
    assert pss(np.roll(poses, 30, axis=0), poses, codebook(), ROOT).mean() == 0


def bent_the_other_way(poses, *limb):
    """The third joint of a limb mirrored at the line through the first two; no bone gets longer."""
    first, second, third = (H36M.index(joint) for joint in limb)
    along = poses[:, second] - poses[:, first]
    along /= np.linalg.norm(along, axis=-1, keepdims=True)
    bone = poses[:, third] - poses[:, second]
    bent = poses.copy()
    bent[:, third] = poses[:, second] + 2 * (bone * along).sum(axis=-1, keepdims=True) * along - bone
    return bent


WALK = np.concatenate([random_motion(300, seed).xyz for seed in range(6)])
LIMBS = {
    "knees": [(f"{side}_hip", f"{side}_knee", f"{side}_ankle") for side in ("left", "right")],
    "elbows": [(f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist") for side in ("left", "right")],
    "arm": [("thorax", "left_shoulder", "left_elbow"), ("left_shoulder", "left_elbow", "left_wrist")],
}


@pytest.fixture(scope="module")
def walk_codebooks():
    return {align: fit(WALK, 50, 100, yaw=yaw_of(H36M, 2) if align == "yaw" else None) for align in ("none", "yaw")}


@pytest.mark.parametrize("align", ["none", "yaw"])
@pytest.mark.parametrize("limbs", LIMBS)
def test_at_equal_mpjpe_a_limb_bent_the_other_way_costs_more_than_noise(walk_codebooks, limbs, align):
    """The paper's Figure 4, on motion that the codebook has not seen."""
    truth = random_motion(300, seed=99).xyz
    wrong = truth
    for limb in LIMBS[limbs]:
        wrong = bent_the_other_way(wrong, *limb)
    noise = np.random.default_rng(0).normal(size=truth.shape)
    noise[:, ROOT] = 0
    noise *= (mpjpe(wrong, truth, ROOT) / mpjpe(truth + noise, truth, ROOT))[:, None, None]
    noisy = truth + noise
    np.testing.assert_allclose(mpjpe(noisy, truth, ROOT), mpjpe(wrong, truth, ROOT))
    for codebook in walk_codebooks[align].codebooks:
        lost_wrong, lost_noisy = (1 - pss(poses, truth, codebook, ROOT).mean() for poses in (wrong, noisy))
        assert lost_wrong > 1.7 * lost_noisy
        assert lost_wrong > lost_noisy + 0.1


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_with_yaw_removed_the_score_does_not_know_which_way_a_person_faces(walk_codebooks, seed):
    rng = np.random.default_rng(seed)
    codebook = walk_codebooks["yaw"].codebook(50)
    facing = turned(WALK[:200], rng.uniform(-np.pi, np.pi, 200))
    np.testing.assert_array_equal(assign(facing, codebook, ROOT), assign(WALK[:200], codebook, ROOT))
    assert pss(turned(WALK[:200], np.pi / 2), WALK[:200], walk_codebooks["none"].codebook(50), ROOT).mean() < 0.5


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [1, -1])
def test_up_is_found_along_any_axis(axis, sign):
    poses = np.roll(WALK, axis + 1, axis=-1) * sign  # z is up in the walk
    assert find_up(poses, H36M) == (axis, sign)


def test_up_of_tumbling_bodies_is_refused():
    rng = np.random.default_rng(0)
    poses = np.einsum("nij,nkj->nki", Rotation.random(len(WALK), random_state=0).as_matrix(), WALK)
    for nothing in (poses, np.full_like(poses, np.nan), rng.normal(size=(50, 1, 3)) + np.zeros((1, 17, 1))):
        with pytest.raises(InputError, match="vertical cannot be told"):
            find_up(nothing, H36M)


def test_a_yaw_needs_hips_and_shoulders():
    with pytest.raises(InputError, match="no joint 'left_hip'"):
        yaw_of(skeleton_of("hand", ["wrist", "thumb"]), 1)


def test_removing_yaw_is_a_rotation_and_done_once_and_for_all():
    for axis in (0, 1, 2):
        yaw = yaw_of(H36M, axis)
        once = yaw.removed(WALK[:50])
        lengths = [np.linalg.norm(poses[:, :, None] - poses[:, None], axis=-1) for poses in (WALK[:50], once)]
        np.testing.assert_allclose(*lengths, atol=1e-9)
        np.testing.assert_allclose(once[..., axis], WALK[:50, :, axis])
        np.testing.assert_allclose(yaw.removed(once), once, atol=1e-9)
        assert np.linalg.det(np.linalg.lstsq(WALK[0], once[0], rcond=None)[0]) > 0  # no mirror


def test_clusters_of_one_k_do_not_depend_on_the_others():
    alone, together = fit(WALK, 10).codebook(10), fit(WALK, 5, 10, 30).codebook(10)
    np.testing.assert_array_equal(alone.centers, together.centers)


def test_same_seed_same_clusters():
    poses = np.random.default_rng(0).normal(size=(200, 17, 3))
    first, second = (fit(poses, 5, 9, seed=3, jobs=jobs) for jobs in (1, 3))
    for k in (5, 9):
        np.testing.assert_array_equal(first.codebook(k).centers, second.codebook(k).centers)


@pytest.mark.parametrize("consensus", [0, 10])
def test_clusters_come_in_the_order_of_their_size(consensus):
    model = fit(WALK, 20, consensus=consensus)
    sizes = np.bincount(flat_labels(WALK, model), minlength=20)
    assert sizes[0] > sizes[10] > sizes[19]
    assert model.method == ("consensus of 10 k-means runs" if consensus else "k-means, best of 10 runs")


def flat_labels(poses, model):
    return assign(poses, model.codebooks[0], ROOT)


def test_consensus_is_nearer_to_the_optimum_than_its_runs():
    flat = flat_poses(WALK, ROOT, None)
    runs = fit_runs(flat, 30, 10, 0, 1, draw_starts(flat, 30, 10, 0))
    assert consensus_of(flat, runs, 0).inertia < min(run.inertia for run in runs)


def test_poses_count_as_distinct_whatever_the_sign_of_zero():
    zero = np.zeros((2, 3), np.float32)
    assert count_distinct(np.concatenate([zero, -zero, zero + 1])) == 2


@pytest.mark.parametrize(("count", "k"), [(100, 50), (99, 49), (7, 3), (4, 2)])
def test_k_is_half_the_poses_at_most_and_the_name_says_so(count, k):
    codebook = fit(np.random.default_rng(0).normal(size=(count, 17, 3)), 50).codebook(50)
    assert codebook.k == k
    assert codebook.metric == ("mPSS@50" if k == 50 else f"mPSS@50 (k={k})")


def test_repeated_poses_count_once():
    poses = np.repeat(np.random.default_rng(0).normal(size=(10, 17, 3)), 20, axis=0)
    assert fit(poses, 50).codebook(50).k == 5
    with pytest.raises(GeometryError, match="1 distinct complete poses"):
        fit(poses[:20], 50)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_incomplete_and_empty_poses_are_skipped():
    poses, _ = clusters_of_poses()
    poses[0, 4], poses[1, ROOT], poses[2] = np.nan, np.nan, 0
    model = fit(poses, 6)
    assert (model.counted, model.skipped) == (len(poses) - 3, 3)
    scores = pss(poses, poses, model.codebook(6), ROOT)
    assert np.isnan(scores[:3]).all()
    assert (scores[3:] == 1).all()
    assert np.isnan(normalized(poses[:3], ROOT)).any(axis=(1, 2)).all()


def test_any_leading_shape():
    poses, _ = clusters_of_poses()
    grid = assign(poses.reshape(9, 20, 17, 3), codebook(), ROOT)
    np.testing.assert_array_equal(grid.ravel(), assign(poses, codebook(), ROOT))
    assert assign(poses[0], codebook(), ROOT).shape == ()


def test_one_cluster_is_no_score():
    with pytest.raises(UsageError, match="at least two clusters"):
        fit(clusters_of_poses()[0], 1)


def test_file_gives_back_the_model(tmp_path):
    model = fit(clusters_of_poses()[0], 3, 200, yaw=Yaw(1, (4, 11), (1, 14)))
    write_pss(tmp_path / "pss.npz", model)
    again = read_pss(tmp_path / "pss.npz")
    for k in (3, 200):
        np.testing.assert_array_equal(again.codebook(k).centers, model.codebook(k).centers)
    assert vars(again) | {"codebooks": None} == vars(model) | {"codebooks": None}
    with pytest.raises(InputError, match="k = 7; there are 3, 200"):
        again.codebook(7)


class Malicious:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize(("read", "kind"), [(read_pss, "pss"), (read_pose_arrays, "poses")])
def test_pickles_and_damage_are_refused(tmp_path, read, kind, capsys):
    path = tmp_path / "pss.npz"
    np.savez(path, format=f"epitool.{kind}/1", joints=np.array([Malicious()], dtype=object))
    with pytest.raises(InputError, match="cannot be read as arrays"):
        read(path)
    np.save(tmp_path / "array.npy", np.array([Malicious()], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="cannot be read as arrays"):
        read(tmp_path / "array.npy")
    np.savez(path, format=f"epitool.{kind}/1", xyz=np.zeros((1000, 17, 3)))
    whole = path.read_bytes()
    for damaged in (whole[:-50], b"PK\x03\x04 nothing", b"text"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="cannot be read as arrays"):
            read(path)
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "none.npz")
    assert "executed" not in capsys.readouterr().out


def test_pss_file_must_fit_together(tmp_path):
    path = tmp_path / "pss.npz"
    write_pss(path, fit(clusters_of_poses()[0], 3))
    content = dict(np.load(path))
    for change, message in (
        ({"format": "epitool.pss/9"}, "states format"),
        ({"joints": np.array(["a", "b"])}, "joints that are not its own"),
        ({"centers_3": np.zeros((3, 5, 3))}, "not numbers for 17 joints"),
        ({"centers_3": np.full((3, 17, 3), np.nan)}, "not numbers for 17 joints"),
        ({"asked": np.array([9])}, "lacks centers_9"),
        ({"alignment": "yaw about t"}, "'yaw about t' is none of none, yaw about x"),
    ):
        np.savez(path, **{**content, **change})
        with pytest.raises(InputError, match=message):
            read_pss(path)


def test_arrays_are_put_in_order_by_joint_name(tmp_path):
    poses = np.random.default_rng(0).normal(size=(5, 17, 3)).astype(np.float32)
    order = np.random.default_rng(1).permutation(17)
    np.savez(tmp_path / "named.npz", xyz_mm=poses[:, order], joints=np.array(H36M_NAMES)[order], fps=30)
    read = read_pose_arrays(tmp_path / "named.npz").poses
    assert (read.skeleton, read.unit) == (H36M, "mm")
    np.testing.assert_array_equal(read.xyz, poses)
    np.save(tmp_path / "plain.npy", poses)
    ours = np.array([*skeleton("h36m17").joints, "nose"])  # as `convert` writes them, where BlazePose found the nose
    np.savez(tmp_path / "ours.npz", xyz=np.zeros((2, 18, 3)), joints=ours)
    assert read_pose_arrays(tmp_path / "ours.npz").poses.skeleton.joints == tuple(ours)
    plain = read_pose_arrays(tmp_path / "plain.npy").poses
    assert (plain.skeleton, plain.unit) == (H36M, "arbitrary")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": np.zeros((2, 17, 3)), "b": np.zeros(1)}, "must be named 'xyz_mm'"),
        ({"xyz": np.zeros((2, 17))}, r"shape \(2, 17\), expected"),
        ({"xyz": np.zeros((2, 5, 3))}, "5 joints without names"),
        ({"xyz": np.zeros((2, 2, 3)), "joints": np.array(["Hip", "pelvis"])}, "2 different joints"),
        ({"xyz": np.zeros((2, 17, 3)), "unit": "feet"}, "unit 'feet' is none of mm, cm, m and arbitrary"),
    ],
)
def test_arrays_that_are_no_poses(tmp_path, content, message):
    np.savez(tmp_path / "a.npz", **content)
    with pytest.raises(InputError, match=message):
        read_pose_arrays(tmp_path / "a.npz")


def save(path, poses, **arrays):
    np.savez(path, xyz_mm=poses, **arrays)
    return path


def command(poses, **options):
    return pss_fit.run(
        PssFitOptions(
            **{"poses": poses, "k": (5,), "out": poses.parent / "pss.npz", "seed": 0, "split": "all"} | options
        )
    )


def test_command_fits_arrays_and_says_that_k_is_lowered(tmp_path, capfd):
    poses, _ = clusters_of_poses(each=5)
    summary = command(save(tmp_path / "poses.npz", poses), k=(6, 29))
    assert summary.values["clusters"] == {"6": 6, "29": 15}
    assert "k = 29: 15 clusters" in capfd.readouterr().err
    assert command(tmp_path / "poses.npz", k=None).values["clusters"] == {"50": 15, "100": 15}
    model = read_pss(tmp_path / "pss.npz")
    assert (model.counted, model.skeleton, model.alignment) == (30, H36M, "none")


def test_command_removes_yaw_and_the_file_remembers(tmp_path, capfd):
    summary = command(save(tmp_path / "walk.npz", WALK[:200]), align="yaw")
    assert "stand along z, which runs up" in capfd.readouterr().err
    assert summary.values["alignment"] == "yaw about z"
    codebook = read_pss(tmp_path / "pss.npz").codebook(5)
    assert codebook.yaw == yaw_of(H36M, 2)
    scores = pss(turned(WALK[200:300], 1.0), WALK[200:300], codebook, ROOT)
    assert scores.mean() == 1


def test_parts_are_made_of_whole_clips_where_the_file_has_clips(tmp_path):
    clips = np.repeat(np.arange(20), 15)
    path = save(tmp_path / "clips.npz", WALK[:300], clip_index=clips)
    parts = {split: pss_fit.part_of_clips(clips, split) for split in ("train", "val", "test", "all")}
    assert command(path, split="train").values["counted"] == len(parts["train"]) == 14 * 15
    for split in ("val", "test"):
        assert not set(clips[parts["train"]]) & set(clips[parts[split]])
    assert sorted(np.concatenate([parts[split] for split in ("train", "val", "test")])) == list(parts["all"])


@pytest.mark.parametrize(
    ("poses", "options", "message"),
    [
        (WALK[:1], {"k": None}, "1 distinct complete poses do not make two"),
        (np.full((9, 17, 3), np.nan), {"k": None}, "0 distinct complete poses"),
        (np.full((9, 17, 3), np.nan), {"k": None, "align": "yaw"}, "vertical cannot be told"),
        (np.zeros((9, 17, 3)), {}, "0 distinct complete poses"),
        (clusters_of_poses()[0], {"align": "yaw"}, "--align yaw: the vertical cannot be told"),
    ],
)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_poses_that_make_no_clusters_end_in_one_line(tmp_path, poses, options, message):
    with pytest.raises(InputError, match=message) as caught:
        command(save(tmp_path / "poses.npz", poses), **options)
    assert str(caught.value).startswith(str(tmp_path / "poses.npz"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "pss.npz").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"align": "roll"}, "none of none, yaw"),
        ({"predictions": "p.npz"}, "is for --stability"),
        ({"k": (1,)}, "2 or more"),
        ({"k": (5, 60)}, "--k 60: .*has 50 distinct complete poses"),
    ],
)
def test_options_that_do_not_go_together(tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        command(save(tmp_path / "poses.npz", WALK[:50]), **options)
