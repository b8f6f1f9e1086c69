import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import procrustes as scipy_procrustes
from scipy.spatial.transform import Rotation

from epitool.metrics import (
    measure,
    missing_joints,
    mpjpe,
    nmpjpe,
    npck,
    pck,
    pmpjpe,
    procrustes,
    procrustes_align,
    root_centered,
)
from epitool.skeleton import skeleton

H36M = skeleton("h36m17")
ROOT = H36M.root
seeds = st.integers(0, 2**32 - 1)


def person(rng, count=1):
    """Random walks down the tree: limbs of 100 to 400 mm in any direction."""
    poses = np.zeros((count, len(H36M), 3))
    for parent, child in H36M.bones:
        bone = rng.normal(size=(count, 3))
        poses[:, child] = poses[:, parent] + bone * rng.uniform(100, 400) / np.linalg.norm(bone, axis=-1, keepdims=True)
    return poses


def pair(seed, count=4, noise=40.0):
    rng = np.random.default_rng(seed)
    truth = person(rng, count)
    return truth + rng.normal(0, noise, truth.shape), truth, rng


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_pmpjpe_does_not_change_under_similarities(seed):
    prediction, truth, rng = pair(seed)
    moved = rng.uniform(0.01, 100) * prediction @ Rotation.random(random_state=seed).as_matrix() + rng.normal(0, 1e4, 3)
    np.testing.assert_allclose(pmpjpe(moved, truth, ROOT), pmpjpe(prediction, truth, ROOT), atol=1e-6)


@given(seeds, st.floats(1e-3, 1e3))
@settings(max_examples=30, deadline=None)
def test_nmpjpe_does_not_change_with_scale_and_place(seed, scale):
    prediction, truth, rng = pair(seed)
    for metric in (nmpjpe, npck):
        ours = metric(scale * prediction + rng.normal(0, 100, 3), truth, ROOT)
        np.testing.assert_allclose(ours, metric(prediction, truth, ROOT), atol=1e-6)


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_order_of_joints_does_not_matter(seed):
    prediction, truth, rng = pair(seed)
    order = rng.permutation(len(H36M))
    root = int(np.flatnonzero(order == ROOT)[0])
    for metric in (mpjpe, nmpjpe, pmpjpe, pck, npck):
        ours = metric(prediction[:, order], truth[:, order], root)
        np.testing.assert_allclose(ours, metric(prediction, truth, ROOT), atol=1e-6)


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_no_other_scale_or_rotation_is_closer(seed):
    prediction, truth, rng = pair(seed, count=1)
    p, g = root_centered(prediction, ROOT), root_centered(truth, ROOT)
    s = (p * g).sum() / (p * p).sum()
    assert nmpjpe(prediction, truth, ROOT) == pytest.approx(mpjpe(s * p, g, ROOT))
    best = ((procrustes_align(prediction, truth) - truth) ** 2).sum()
    similarity = procrustes(prediction, truth)
    nudge = Rotation.from_rotvec(rng.normal(0, 0.05, 3)).as_matrix()
    nudged = rng.uniform(0.9, 1.1) * (similarity(prediction) @ nudge) + rng.normal(0, 5, 3)
    assert ((nudged - truth) ** 2).sum() >= best


def test_procrustes_agrees_with_scipy_where_no_reflection_is_better():
    prediction, truth, _ = pair(0, count=50)
    aligned = procrustes_align(prediction, truth)
    for p, g, ours in zip(prediction, truth, aligned):
        size = np.linalg.norm(g - g.mean(axis=0))
        _, theirs, disparity = scipy_procrustes(g, p)
        np.testing.assert_allclose(ours, theirs * size + g.mean(axis=0), atol=1e-8)
        assert ((ours - g) ** 2).sum() / size**2 == pytest.approx(disparity)
        R, _ = orthogonal_procrustes(p - p.mean(axis=0), g - g.mean(axis=0))
        np.testing.assert_allclose(procrustes(p, g).R, R.T, atol=1e-9)


def test_mirrored_pose_is_not_mirrored_back():
    truth = person(np.random.default_rng(1))
    mirrored = truth * [-1, 1, 1]
    assert np.linalg.det(procrustes(mirrored, truth).R[0]) == pytest.approx(1)
    assert pmpjpe(mirrored, truth, ROOT)[0] > 30
    # scipy allows reflections, and sees no difference
    assert scipy_procrustes(truth[0], mirrored[0])[2] == pytest.approx(0, abs=1e-12)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("flatten", [[1, 1, 0], [1, 0, 0], [0, 0, 0]], ids=["flat", "collinear", "point"])
def test_degenerate_poses_give_numbers(flatten):
    prediction, truth, _ = pair(2)
    for p, g in ((prediction * flatten, truth), (prediction, truth * flatten), (prediction * flatten, truth * flatten)):
        for metric in (mpjpe, nmpjpe, pmpjpe, pck, npck):
            assert np.isfinite(metric(p, g, ROOT)).all()
        assert (pmpjpe(p, g, ROOT, "epipolarpose") >= 0).all()


def test_flat_and_collinear_poses_align_exactly_to_their_own_similarity():
    rng = np.random.default_rng(3)
    for flatten in ([1, 1, 0], [1, 0, 0]):
        truth = person(rng) * flatten
        moved = 3 * truth @ Rotation.random(random_state=3).as_matrix() + 7
        assert pmpjpe(moved, truth, ROOT)[0] == pytest.approx(0, abs=1e-9)


def test_trap_rerooting_after_procrustes_gives_other_numbers():
    """Noise of 30 mm an axis: the noise of the root, put right on its place again, is given to every other joint."""
    truth = person(np.random.default_rng(4), 200)
    prediction = truth + np.random.default_rng(5).normal(0, 30, truth.shape)
    standard = pmpjpe(prediction, truth, ROOT).mean()
    published = pmpjpe(prediction, truth, ROOT, "epipolarpose").mean()
    assert standard == pytest.approx(44.2, abs=0.5)
    assert published - standard == pytest.approx(17.4, abs=1)
    assert nmpjpe(prediction, truth, ROOT).mean() != pytest.approx(
        nmpjpe(prediction, truth, ROOT, "epipolarpose").mean()
    )


def test_epipolarpose_nmpjpe_takes_the_scale_of_procrustes():
    prediction, truth, _ = pair(6)
    scaled = procrustes(prediction, truth).scale[:, None, None] * prediction
    np.testing.assert_allclose(nmpjpe(prediction, truth, ROOT, "epipolarpose"), mpjpe(scaled, truth, ROOT))


def test_known_values():
    truth = np.zeros((17, 3))
    truth[:, 1] = 100 * np.arange(17)
    prediction = truth + np.array([1e3, 0, 0])
    prediction[16, 0] += 340  # one of 17 joints, the root among them
    assert mpjpe(prediction, truth, 0) == pytest.approx(20)
    assert pck(prediction, truth, 0) == pytest.approx(100 * 16 / 17)
    assert pck(truth + 150 * np.eye(17, 3, k=-1), truth, 0) == 100  # 150 mm is within


def test_missing_joints_are_left_out_and_counted():
    prediction, truth, _ = pair(7, count=3)
    prediction[0, 5], truth[1, 8] = np.nan, np.nan
    some = [j for j in range(17) if j != 5]
    np.testing.assert_array_equal(missing_joints(prediction, truth), [1, 1, 0])
    for metric in (mpjpe, nmpjpe, pmpjpe, pck, npck):
        assert metric(prediction, truth, ROOT)[0] == pytest.approx(metric(prediction[0, some], truth[0, some], ROOT))


@pytest.mark.filterwarnings("error")
def test_pose_without_root_or_joints_has_no_value():
    prediction, truth, _ = pair(8, count=3)
    prediction[0, ROOT], truth[1] = np.nan, np.nan
    values = {metric.name: metric for metric in measure(prediction, truth, H36M, "standard", "mm", "mm")}
    assert (values["MPJPE"].counted, values["MPJPE"].skipped) == (1, 2)
    # Procrustes needs no root
    assert (values["PMPJPE"].counted, values["PMPJPE"].skipped, values["PMPJPE"].missing_joints) == (2, 1, 1)
    nothing = measure(prediction[1:2], truth[1:2], H36M, "standard", "mm", "mm")
    assert all(metric.value is None and metric.reason for metric in nothing)


def test_two_joints_determine_no_procrustes_distance():
    prediction, truth, _ = pair(9, count=1)
    prediction[:, 2:] = np.nan
    assert np.isnan(pmpjpe(prediction, truth, ROOT)).all()


@pytest.mark.parametrize("units", [("arbitrary", "mm"), ("mm", "arbitrary"), ("arbitrary", "arbitrary")])
def test_unknown_scale_makes_mpjpe_and_pck_not_applicable(units):
    prediction, truth, _ = pair(10)
    metrics = measure(prediction, truth, H36M, "standard", *units)
    assert [metric.name for metric in metrics if metric.value is None] == ["MPJPE", "PCK@150"]
    assert "no metric scale" in metrics[0].reason
    assert metrics[1].unit == units[1]


def test_any_leading_shape():
    prediction, truth, _ = pair(11, count=6)
    for metric in (mpjpe, nmpjpe, pmpjpe, pck, npck):
        grid = metric(prediction.reshape(2, 3, 17, 3), truth.reshape(2, 3, 17, 3), ROOT)
        np.testing.assert_array_equal(grid.ravel(), metric(prediction, truth, ROOT))


def test_unknown_protocol_is_a_mistake():
    prediction, truth, _ = pair(12)
    with pytest.raises(ValueError, match="protocol 'other'"):
        pmpjpe(prediction, truth, ROOT, "other")
