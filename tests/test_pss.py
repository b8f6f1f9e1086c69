import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from epitool.errors import GeometryError, InputError, UsageError
from epitool.io.npz import read_pose_arrays, read_pss, write_pss
from epitool.metrics import mpjpe
from epitool.pss import assign, fit_pss, normalized, pss
from epitool.skeleton import skeleton
from epitool.stages import pss_fit

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


def fit(poses, *ks, seed=0):
    return fit_pss(poses, H36M, ks, seed, "a test")


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
    ours = pss(scale * prediction + rng.normal(0, 100, 3), poses, CODEBOOK, ROOT)
    np.testing.assert_array_equal(ours, pss(prediction, poses, CODEBOOK, ROOT))


CODEBOOK = fit(clusters_of_poses()[0], 6).codebook(6)


def test_truth_scores_one_and_another_kind_of_pose_zero():
    poses, _ = clusters_of_poses()
    assert pss(poses, poses, CODEBOOK, ROOT).mean() == 1
    assert pss(np.roll(poses, 30, axis=0), poses, CODEBOOK, ROOT).mean() == 0


def test_equal_mpjpe_but_only_one_keeps_the_structure():
    """The paper's figure 4: the same distance, once spread over all joints and once spent on changing the pose."""
    poses, _ = clusters_of_poses(kinds=2)
    truth, other = poses[0] - poses[0, ROOT], poses[30] - poses[30, ROOT]
    wrong = truth + 0.7 * (other - truth)
    spread = np.random.default_rng(0).normal(size=truth.shape)
    spread[ROOT] = 0
    spread *= mpjpe(wrong, truth, ROOT) / mpjpe(truth + spread, truth, ROOT)
    two = fit(poses, 2).codebook(2)
    assert mpjpe(truth + spread, truth, ROOT) == pytest.approx(mpjpe(wrong, truth, ROOT))
    assert (pss(truth + spread, truth, two, ROOT), pss(wrong, truth, two, ROOT)) == (1, 0)


def test_same_seed_same_clusters():
    poses = np.random.default_rng(0).normal(size=(200, 17, 3))
    first, second = (fit(poses, 5, 9, seed=3) for _ in range(2))
    for k in (5, 9):
        np.testing.assert_allclose(first.codebook(k).centers, second.codebook(k).centers)


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
    grid = assign(poses.reshape(9, 20, 17, 3), CODEBOOK, ROOT)
    np.testing.assert_array_equal(grid.ravel(), assign(poses, CODEBOOK, ROOT))
    assert assign(poses[0], CODEBOOK, ROOT).shape == ()


def test_one_cluster_is_no_score():
    with pytest.raises(UsageError, match="at least two clusters"):
        fit(clusters_of_poses()[0], 1)


def test_file_gives_back_the_model(tmp_path):
    model = fit(clusters_of_poses()[0], 3, 200)
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


@pytest.mark.parametrize("read", [read_pss, read_pose_arrays])
def test_pickles_and_damage_are_refused(tmp_path, read, capsys):
    path = tmp_path / "pss.npz"
    np.savez(path, format="epitool.pss/1", joints=np.array([Malicious()], dtype=object))
    with pytest.raises(InputError, match="cannot be read as arrays"):
        read(path)
    np.save(tmp_path / "array.npy", np.array([Malicious()], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="cannot be read as arrays"):
        read(tmp_path / "array.npy")
    np.savez(path, format="epitool.pss/1", xyz=np.zeros((1000, 17, 3)))
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
        ({"asked": np.array([9])}, "lacks 'centers_9'"),
    ):
        np.savez(path, **{**content, **change})
        with pytest.raises(InputError, match=message):
            read_pss(path)


def test_arrays_are_put_in_order_by_joint_name(tmp_path):
    poses = np.random.default_rng(0).normal(size=(5, 17, 3)).astype(np.float32)
    order = np.random.default_rng(1).permutation(17)
    np.savez(tmp_path / "named.npz", xyz_mm=poses[:, order], joints=np.array(H36M_NAMES)[order], fps=30)
    read = read_pose_arrays(tmp_path / "named.npz")
    assert (read.skeleton, read.unit) == (H36M, "mm")
    np.testing.assert_array_equal(read.xyz, poses)
    np.save(tmp_path / "plain.npy", poses)
    plain = read_pose_arrays(tmp_path / "plain.npy")
    assert (plain.skeleton, plain.unit) == (H36M, "arbitrary")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": np.zeros((2, 17, 3)), "b": np.zeros(1)}, "must be named 'xyz_mm'"),
        ({"xyz": np.zeros((2, 17))}, r"shape \(2, 17\), expected"),
        ({"xyz": np.zeros((2, 5, 3))}, "5 joints without names"),
        ({"xyz": np.zeros((2, 2, 3)), "joints": np.array(["Hip", "pelvis"])}, "2 different joints"),
        ({"xyz": np.zeros((2, 17, 3)), "unit": "feet"}, "neither mm nor arbitrary"),
    ],
)
def test_arrays_that_are_no_poses(tmp_path, content, message):
    np.savez(tmp_path / "a.npz", **content)
    with pytest.raises(InputError, match=message):
        read_pose_arrays(tmp_path / "a.npz")


def test_command_fits_arrays_and_says_that_k_is_lowered(tmp_path, capfd):
    poses, _ = clusters_of_poses(each=5)
    np.savez(tmp_path / "poses.npz", xyz_mm=poses)
    summary = pss_fit.run(poses=tmp_path / "poses.npz", ks=(6, 50), out=tmp_path / "pss.npz", seed=0, split="all")
    assert summary.values["clusters"] == {"6": 6, "50": 15}
    assert "k = 50: 15 clusters" in capfd.readouterr().err
    model = read_pss(tmp_path / "pss.npz")
    assert (model.counted, model.skeleton) == (30, H36M)
