"""A hundred crowds whose identities are not known: right, or declared not to be trusted."""

from __future__ import annotations

import os

import pytest
from crowds import judge_seed
from random_rigs import RIGHT, WRONG, judge_seeds

COUNT = 100


@pytest.mark.bench
def test_crowds_give_the_right_cameras_or_are_declared():
    outcomes = list(judge_seeds(judge_seed, 0, COUNT, os.cpu_count() or 1))
    print()
    for outcome in outcomes:
        if outcome.kind != RIGHT:
            print(f"seed {outcome.seed}: {outcome.kind}; {outcome.scene}; {outcome.report}")
    assert sum(outcome.kind == WRONG for outcome in outcomes) <= 0.03 * COUNT
    assert sum(outcome.kind == RIGHT for outcome in outcomes) >= 0.9 * COUNT
