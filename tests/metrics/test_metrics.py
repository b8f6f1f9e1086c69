import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import procrustes as scipy_procrustes
from scipy.spatial.transform import Rotation

from epitool.metrics import (
    Bootstrap,
    Ruler,
    auc,
    axis_errors,
    joint_errors,
    missing_joints,
    mpjpe,
    nmpjpe,
    npck,
    pck,
    pmpjpe,
    procrustes,
    procrustes_align,
    root_centered,
    set_errors,
)
from epitool.metrics.rotation import nearest_rotation
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


def ruler(truth, unit="mm", sequences=None):
    return Ruler(truth, H36M, "standard", unit, Bootstrap(np.arange(len(truth)) if sequences is None else sequences))


def pair(seed, count=4, noise=40.0):
    rng = np.random.default_rng(seed)
    truth = person(rng, count)
    return truth + rng.normal(0, noise, truth.shape), truth, rng


def test_compiled_functions_are_kept_in_the_users_cache_whatever_is_imported_first(tmp_path):
    code = "import numba, epitool.geometry.compiled.rays; print(numba.config.CACHE_DIR)"
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    environment.pop("NUMBA_CACHE_DIR", None)
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.strip().endswith("numba")


def test_nothing_is_compiled_for_metrics():
    code = "import sys, epitool.metrics, epitool.pss.stability; sys.exit('numba' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


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
    values = {metric.name: metric for metric in ruler(truth).measure(prediction, "mm").metrics}
    assert (values["MPJPE"].counted, values["MPJPE"].skipped) == (1, 2)
    # Procrustes needs no root
    assert (values["PMPJPE"].counted, values["PMPJPE"].skipped, values["PMPJPE"].missing_joints) == (2, 1, 1)
    nothing = ruler(truth[1:2]).measure(prediction[1:2], "mm").metrics
    assert all(metric.value is None and metric.reason for metric in nothing)


@pytest.mark.filterwarnings("error")
def test_poses_too_large_for_squares_of_their_size_have_no_finite_value_and_no_warning():
    prediction, truth, _ = pair(23)
    huge = truth * 1e200
    assert not np.isfinite([metric(prediction, huge, ROOT) for metric in (mpjpe, nmpjpe, pmpjpe)]).any()
    assert not np.isfinite(set_errors(prediction, huge, ROOT).values[:, :3]).any()


def test_two_joints_determine_no_procrustes_distance():
    prediction, truth, _ = pair(9, count=1)
    prediction[:, 2:] = np.nan
    assert np.isnan(pmpjpe(prediction, truth, ROOT)).all()


@pytest.mark.parametrize("units", [("arbitrary", "mm"), ("mm", "arbitrary"), ("arbitrary", "arbitrary")])
def test_unknown_scale_makes_mpjpe_and_pck_not_applicable(units):
    prediction, truth, _ = pair(10)
    metrics = ruler(truth, units[1]).measure(prediction, units[0]).metrics
    assert [metric.name for metric in metrics if metric.value is None] == ["MPJPE", "PCK@150", "AUC"]
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


def svd_pmpjpe(prediction, truth):
    """The recipe in batches of numpy's SVD that is in common use."""
    p, g = prediction - prediction.mean(axis=1, keepdims=True), truth - truth.mean(axis=1, keepdims=True)
    U, S, Vt = np.linalg.svd(np.swapaxes(p, 1, 2) @ g)
    sign = np.sign(np.linalg.det(U @ Vt))
    S[:, 2] *= sign
    U[:, :, 2] *= sign[:, None]
    size = (p * p).sum(axis=(1, 2))
    scale = S.sum(axis=1) / np.where(size > 0, size, 1)
    return np.linalg.norm(scale[:, None, None] * (p @ (U @ Vt)) - g, axis=-1).mean(axis=-1)


def by_svd(H):
    """Rotations and traces of matrices `(N, 3, 3)`, by the recipe that is in common use."""
    U, singular, Vt = np.linalg.svd(H)
    singular[:, 2] *= (sign := np.sign(np.linalg.det(U @ Vt)))
    U[:, :, 2] *= sign[:, None]
    return U @ Vt, singular.sum(axis=1)


@pytest.mark.parametrize("mirrored", [False, True])
def test_rotations_are_those_of_the_svd_whatever_the_singular_values(mirrored):
    """From well-posed ones to such where another rotation is as good: singular values over four orders of size."""
    rng = np.random.default_rng(20)
    values = np.sort(10 ** rng.uniform(-4, 0, (50_000, 3)))[:, ::-1] * [1, 1, -1 if mirrored else 1]
    turns = (Rotation.random(len(values), random_state=seed).as_matrix() for seed in (1, 2))
    H = (next(turns) * values[:, None]) @ next(turns)
    R, trace = nearest_rotation(np.moveaxis(H, 0, -1))
    expected, traces = by_svd(H)
    np.testing.assert_allclose(np.moveaxis(R, -1, 0), expected, atol=1e-11)
    np.testing.assert_allclose(trace, traces, atol=1e-13)


@pytest.mark.parametrize(
    "values", [(1, 0, 0), (1, 1, -1), (1, 1e-9, -1e-9), (1, 1, 1), (1, 1, 0), (0, 0, 0), (1e-200, 0, 0)]
)
def test_rotations_that_are_not_determined_are_rotations_with_the_greatest_trace(values):
    turns = [Rotation.random(500, random_state=seed).as_matrix() for seed in (3, 4)]
    H = (turns[0] * np.array(values, dtype=float)) @ turns[1]
    R, trace = nearest_rotation(np.moveaxis(H, 0, -1))
    R = np.moveaxis(R, -1, 0)
    np.testing.assert_allclose(R @ np.swapaxes(R, 1, 2), np.broadcast_to(np.eye(3), R.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(R), 1)
    np.testing.assert_allclose(trace, sum(values), atol=1e-14)
    np.testing.assert_allclose((R * H).sum(axis=(1, 2)), trace, atol=1e-14)


def test_matrix_that_is_not_finite_spoils_no_other():
    H = np.random.default_rng(21).normal(size=(3, 3, 4))
    expected, _ = nearest_rotation(H)
    H[0, 1, 2] = np.inf
    R, trace = nearest_rotation(H)
    np.testing.assert_array_equal(np.isnan(trace), [False, False, True, False])
    np.testing.assert_array_equal(R[..., [0, 1, 3]], expected[..., [0, 1, 3]])


@pytest.mark.parametrize("kind", ["plain", "mirrored", "flat", "collinear", "flat truth", "collinear truth", "far"])
def test_pmpjpe_agrees_with_batched_svd(kind):
    prediction, truth, _ = pair(12, count=2000)
    if kind == "mirrored":
        prediction *= [-1, 1, 1]
    if kind in ("flat", "collinear"):
        prediction *= [1, 1, 0] if kind == "flat" else [0, 1, 0]
    if kind in ("flat truth", "collinear truth"):
        truth = truth * ([1, 0, 1] if kind == "flat truth" else [0, 0, 1])
    if kind == "far":
        prediction, truth = prediction + 5000, truth - [0, 0, 8000]
    R = Rotation.random(2000, random_state=1).as_matrix()
    prediction, truth = prediction @ R, truth @ R[::-1]
    ours, recipe = pmpjpe(prediction, truth, ROOT), svd_pmpjpe(prediction, truth)
    np.testing.assert_allclose(ours, recipe, atol=1e-8)


def test_single_point_is_as_far_as_the_truth_is_large():
    _, truth, _ = pair(13)
    size = np.linalg.norm(truth - truth.mean(axis=1, keepdims=True), axis=-1).mean(axis=-1)
    np.testing.assert_allclose(pmpjpe(np.full_like(truth, 7.0), truth, ROOT), size, atol=1e-8)
    np.testing.assert_allclose(pmpjpe(truth, np.full_like(truth, 7.0), ROOT), 0, atol=1e-8)


def test_result_depends_neither_on_threads_nor_on_groups():
    prediction, truth, rng = pair(14, count=10_000)
    prediction[rng.random(prediction.shape[:2]) < 0.1] = np.nan
    groups = rng.integers(0, 7, len(truth))
    one = set_errors(prediction, truth, ROOT)
    many = set_errors(prediction, truth, ROOT, groups=groups, jobs=1)
    np.testing.assert_array_equal(many.values, one.values)
    for ours, theirs in zip(set_errors(prediction, truth, ROOT, groups=groups, jobs=3), many):
        np.testing.assert_array_equal(ours, theirs)
    for name in ("joint_sums", "joint_counts", "axis_sums", "pose_counts"):
        np.testing.assert_allclose(getattr(many, name).sum(axis=0), getattr(one, name)[0])


@pytest.mark.parametrize("protocol", ["standard", "epipolarpose"])
def test_means_over_joints_and_sums_by_sequence_are_the_metrics(protocol):
    prediction, truth, _ = pair(15, count=50)
    prediction[3, 4] = np.nan
    groups = np.repeat(np.arange(5), 10)
    found = set_errors(prediction, truth, ROOT, protocol, groups=groups)
    metrics = (mpjpe, lambda *args: nmpjpe(*args, protocol), lambda *args: pmpjpe(*args, protocol))
    for alignment, metric in enumerate(metrics):
        distances = joint_errors(prediction, truth, ROOT, alignment, protocol)
        np.testing.assert_allclose(np.nanmean(distances, axis=1), metric(prediction, truth, ROOT))
        by_group = np.nansum(distances.reshape(5, 10, -1), axis=1)
        np.testing.assert_allclose(found.joint_sums[:, alignment], by_group, atol=1e-9)
        axes = axis_errors(prediction, truth, ROOT, alignment, protocol).reshape(5, 10, 3).sum(axis=1)
        np.testing.assert_allclose(found.axis_sums[:, alignment], axes, atol=1e-9)


def test_area_is_the_mean_of_pck_over_its_thresholds():
    prediction, truth, _ = pair(16, count=20, noise=60)
    below = [pck(prediction, truth, ROOT, np.nextafter(5.0 * k, 0)) if k else np.zeros(20) for k in range(31)]
    np.testing.assert_allclose(auc(prediction, truth, ROOT), np.mean(below, axis=0))
    assert auc(truth, truth, ROOT)[0] == pytest.approx(100 * 30 / 31)


def test_interval_covers_the_true_mean_in_95_of_100_sets():
    """Sequences of different lengths and means, poses within them alike: what an interval over poses would not see."""
    rng, covered, naive = np.random.default_rng(17), 0, 0
    for _ in range(400):
        lengths = rng.integers(20, 60, 15)
        values = np.repeat(rng.normal(50, 10, 15), lengths) + rng.normal(0, 3, lengths.sum())
        low, high = Bootstrap(np.repeat(np.arange(15), lengths)).interval(values)
        covered += low < 50 < high
        naive += abs(values.mean() - 50) < 1.96 * values.std() / np.sqrt(len(values))
    assert 0.92 < covered / 400 < 0.98
    assert naive / 400 < 0.5


def test_interval_of_sums_is_that_of_values():
    rng = np.random.default_rng(18)
    sequences, values = np.repeat([9, 2, 4, 7, 30, 1], 20), rng.normal(size=120)
    values[rng.random(120) < 0.2] = np.nan
    made = Bootstrap(sequences)
    sums = np.array([np.nansum(values[sequences == s]) for s in np.unique(sequences)])
    counts = np.array([np.isfinite(values[sequences == s]).sum() for s in np.unique(sequences)])
    found = made.intervals(sums[:, None], counts[:, None].astype(float))
    np.testing.assert_allclose(found[:, 0], made.interval(values))


@pytest.mark.filterwarnings("error")
def test_a_joint_that_nobody_predicts_has_no_interval_and_no_warning():
    sums, counts = np.ones((6, 2)), np.ones((6, 2))
    sums[:, 1] = counts[:, 1] = 0
    found = Bootstrap(np.arange(6)).intervals(sums, counts)
    np.testing.assert_array_equal(found, [[1, np.nan], [1, np.nan]])


def test_four_sequences_give_no_interval():
    assert Bootstrap(np.repeat(np.arange(4), 100)).interval(np.random.default_rng(0).normal(size=400)) is None
    only_four = np.where(np.arange(600) < 400, 1.0, np.nan)
    assert Bootstrap(np.repeat(np.arange(6), 100)).interval(only_four) is None
    assert Bootstrap(np.repeat(np.arange(6), 100)).interval(np.full(600, np.nan)) is None


def test_parts_by_joint_and_axis_have_intervals_and_counts():
    prediction, truth, _ = pair(19, count=60)
    prediction[:30, 16] = np.nan
    measured = ruler(truth, sequences=np.repeat(np.arange(6), 10)).measure(prediction, "mm")
    wrist = measured.by_joint["MPJPE"]["right_wrist"]
    assert wrist.counted == 30
    assert wrist.interval is None  # seen in three sequences alone
    elbow = measured.by_joint["MPJPE"]["right_elbow"]
    assert elbow.interval[0] < elbow.value < elbow.interval[1]
    assert elbow.value == pytest.approx(joint_errors(prediction, truth, ROOT)[:, 15].mean())
    assert measured.by_axis["PMPJPE"]["z"].counted == 60
