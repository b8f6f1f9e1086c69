"""Two hundred random rigs: right, or declared not to be trusted, and deviations that are true."""

from __future__ import annotations

import os

import pytest
from random_rigs import RIGHT, WRONG, coverage, judge_seed, judge_seeds, print_summary

COUNT = 200


@pytest.mark.bench
def test_random_rigs_are_right_or_declared_and_know_their_errors():
    outcomes = list(judge_seeds(judge_seed, 0, COUNT, os.cpu_count() or 1))
    print()
    for outcome in outcomes:
        if outcome.kind != RIGHT:
            print(f"seed {outcome.seed}: {outcome.kind}; {outcome.scene}; {outcome.report}")
    print_summary(outcomes)
    assert sum(outcome.kind == WRONG for outcome in outcomes) <= 0.01 * COUNT
    for name in ("rotation", "place"):
        one, two = coverage(outcomes, name)
        assert 0.55 <= one <= 0.8
        assert two >= 0.9
