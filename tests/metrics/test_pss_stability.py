"""How far clusterings agree: against the definition, invariances, and the command."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epitool.errors import InputError, UsageError
from epitool.options import PssFitOptions
from epitool.pss import Codebook, fit_pss, pss, yaw_of
from epitool.pss.stability import agreement, contingency, mpss_by_codebook
from epitool.skeleton import skeleton
from epitool.stages import pss_fit
from epitool.synthetic.motion import random_motion

H36M = skeleton("h36m17")
WALK = np.concatenate([random_motion(200, seed).xyz for seed in range(3)])


def matched_by_masks(a, b, k):
    """The definition, a mask at a time, and all permutations."""
    from itertools import permutations

    iou = np.array(
        [
            [(p & q).sum() / max((p | q).sum(), 1) for q in (b == j for j in range(k))]
            for p in (a == i for i in range(k))
        ]
    )
    return max(np.mean([iou[i, order[i]] for i in range(k)]) for order in permutations(range(k)))


@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(1, 300))
@settings(max_examples=40, deadline=None)
def test_agreement_is_the_best_matching_by_the_definition(seed, k, count):
    labels = np.random.default_rng(seed).integers(0, k, (3, count)).astype(np.uint16)
    found = agreement(list(labels), k)
    expected = [matched_by_masks(labels[a], labels[b], k) for a, b in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(found.iou, expected)
    table = np.bincount(labels[0].astype(int) * k + labels[1], minlength=k * k).reshape(k, k)
    np.testing.assert_array_equal(contingency(labels[0], labels[1], k), table)


def test_names_of_clusters_do_not_matter_and_jobs_do_not_either():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 300, 5000).astype(np.uint16)
    renamed = rng.permutation(300)[labels].astype(np.uint16)
    same = agreement([labels, renamed], 300)
    np.testing.assert_array_equal((same.iou, same.share), 1.0)
    several = [labels, renamed, *rng.integers(0, 300, (4, 5000)).astype(np.uint16)]
    one, three = agreement(several, 300, jobs=1), agreement(several, 300, jobs=3)
    np.testing.assert_array_equal(one.iou, three.iou)
    np.testing.assert_array_equal(one.share, three.share)
    assert len(one.iou) == 15
    assert one.iou[1:].max() < 0.1


def test_mpss_by_codebook_is_the_mean_of_pss():
    yaw = yaw_of(H36M, 2)
    books = [fit_pss(WALK, H36M, (10,), seed, "", yaw=yaw, consensus=0).codebooks[0] for seed in range(3)]
    noisy = WALK + np.random.default_rng(0).normal(0, 60, WALK.shape)
    noisy[3, 5] = np.nan
    expected = [100 * np.nanmean(pss(noisy, WALK, book, 0)) for book in books]
    np.testing.assert_allclose(mpss_by_codebook(noisy, WALK, books, 0, jobs=2), expected, atol=0.2)
    with pytest.raises(ValueError, match="different alignments"):
        mpss_by_codebook(noisy, WALK, [books[0], Codebook(10, books[0].centers)], 0)


def command(folder, **options):
    np.savez(folder / "walk.npz", xyz_mm=WALK)
    given = {"poses": folder / "walk.npz", "k": (8,), "out": folder / "pss.npz", "seed": 0, "split": "all"}
    return pss_fit.run(PssFitOptions(**given | {"stability": True, "runs": 6, "consensus": 3} | options))


def test_command_compares_every_pair_and_writes_every_run(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "predicted.npz", xyz_mm=WALK + rng.normal(0, 40, WALK.shape))
    summary = command(tmp_path, predictions=tmp_path / "predicted.npz")
    document = json.loads((tmp_path / "pss-stability.json").read_text())
    assert document["rows"] == summary.values["rows"]
    single, consensus = document["rows"]
    assert (single["runs"], single["pairs"], len(single["run_mpss_percent"])) == (6, 15, 6)
    assert (consensus["runs"], consensus["pairs"], consensus["kind"]) == (2, 1, "consensus of 3 runs")
    assert 0.3 < single["iou"]["mean"] <= 1
    assert 50 < single["mpss_percent"]["mean"] < 100
    assert "mean IoU 0.78" in summary.text
    again = command(tmp_path, predictions=tmp_path / "predicted.npz", jobs=3)
    assert again.values == summary.values


def test_predictions_of_other_poses_and_single_runs_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", xyz_mm=WALK[:7])
    with pytest.raises(InputError, match="7 poses"):
        command(tmp_path, predictions=tmp_path / "other.npz")
    with pytest.raises(UsageError, match="--runs 1: expected 2 or more"):
        command(tmp_path, runs=1)
    row = command(tmp_path, consensus=0).values["rows"]
    assert [(one["kind"], one["mpss_percent"]) for one in row] == [("single runs", None)]
