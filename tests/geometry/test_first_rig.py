"""Which focal lengths an unknown lens is begun with, and how many are tried."""

import numpy as np
import pytest

from epitool.errors import GeometryError
from epitool.geometry.calibration import first_rig
from epitool.geometry.calibration.calibrate import calibrate
from epitool.geometry.calibration.first_rig import with_focal, with_likely_focal

RIGHT = 1.12


@pytest.fixture
def tried(truth, monkeypatch):
    """Starts that lead where a function of the guess says; which ones are tried, and the factor that is taken."""

    def run(outcome):
        guesses = []

        def start(few, intrinsics, guess, seed, jobs):
            guesses.append(guess)
            return outcome(guess)

        monkeypatch.setattr(first_rig, "_from_guess", start)
        cameras = with_likely_focal(truth.keypoints, truth.rig.cameras, 0, 1)
        return len(guesses), cameras[0].focal / truth.rig.cameras[0].focal

    return run


def test_two_starts_that_agree_are_enough(tried):
    count, factor = tried(lambda guess: (0, 5.0 + 0.01 * guess, RIGHT + 0.001 * guess))
    assert count == 2
    assert factor == pytest.approx(RIGHT, rel=0.01)


def test_starts_that_disagree_or_lack_views_are_not(tried):
    count, factor = tried(lambda guess: (0, abs(guess - RIGHT), guess))
    assert count == 6
    assert factor == pytest.approx(1.2)
    assert tried(lambda guess: (1, 5.0, RIGHT))[0] == 6


def test_a_better_start_outweighs_two_that_agree(tried):
    """The first start fails, two of the next lie wrong together, but the one between them explains more."""

    def outcome(guess):
        if guess == 0.7:
            raise GeometryError("no rig grows")
        return (0, 4.0, RIGHT) if guess == 1.0 else (0, 6.0, guess)

    assert tried(outcome)[1] == pytest.approx(RIGHT)


def test_given_focal_lengths_are_begun_with_and_change_nothing(truth, detected, monkeypatch):
    detected = detected.select_frames(np.arange(60))
    guessed, options = with_focal(truth.rig.cameras, 1.5), {"seed": 0, "jobs": 1, "focal": "unknown"}
    looked_for = calibrate(detected, guessed, **options)
    monkeypatch.setattr(first_rig, "_from_guess", None)  # must not be called
    begun = calibrate(detected, guessed, start=with_focal(truth.rig.cameras, 1.02), **options)
    for a, b in zip(looked_for.rig.cameras, begun.rig.cameras):
        assert a.focal == pytest.approx(b.focal, rel=2e-3)
