"""Each degenerate scene has its named outcome."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import exact_labels
from tiers import thorough_but

from epitool.errors import GeometryError, InputError, UsageError
from epitool.geometry.body.scale import apply_scale, femur_length, parse_scale, stature
from epitool.geometry.calibration.calibrate import assumed_intrinsics, calibrate
from epitool.geometry.calibration.compare import angle_deg, compare_rigs
from epitool.geometry.calibration.first_rig import with_focal


def solve(keypoints, rig, method="essential"):
    return calibrate(keypoints, rig.cameras, method=method, seed=0, jobs=1)


@pytest.mark.parametrize("method", ["essential", "fundamental"])
def test_exact_keypoints_give_the_cameras(truth, method):
    found = solve(truth.keypoints, truth.rig, method).rig
    for pair in compare_rigs(found, truth.rig):
        assert pair.rotation_deg < 0.1
        assert pair.direction_deg < 0.1
    np.testing.assert_array_equal(found.cameras[0].R, np.eye(3))


def test_relative_baselines_are_those_of_the_truth(truth):
    found = solve(truth.keypoints, truth.rig).rig

    def baselines(rig):
        return np.array([np.linalg.norm(a.center - b.center) for a, b in zip(rig.cameras, rig.cameras[1:])])

    ratio = baselines(found) / baselines(truth.rig)
    np.testing.assert_allclose(ratio / ratio[0], 1, atol=1e-3)


def test_a_detectors_faults_are_survived(truth, detected):
    """2 px of noise on a person 150 px high, 5% gross errors, missing limbs, swapped sides."""
    pairs = compare_rigs(solve(detected, truth.rig).rig, truth.rig)
    assert max(pair.rotation_deg for pair in pairs) < 1


def test_the_world_does_not_matter_to_the_comparison(truth):
    assert max(pair.rotation_deg for pair in compare_rigs(truth.rig.scaled(3, "mm", "x"), truth.rig)) < 1e-9


def test_results_do_not_depend_on_jobs(truth, detected):
    options = {"method": "essential", "seed": 3}
    one = calibrate(detected, truth.rig.cameras, jobs=1, **options).rig
    two = calibrate(detected, truth.rig.cameras, jobs=2, **options).rig
    for a, b in zip(one.cameras, two.cameras):
        np.testing.assert_array_equal(a.P, b.P)


@pytest.mark.parametrize("wrong", thorough_but([0.7, 1.5], 0.7))
def test_unknown_focal_lengths_are_found_from_three_views_on(truth, detected, wrong):
    """Each to 2%, as their deviations say; what is assumed at first does not matter."""
    detected = detected.select_frames(np.arange(80))
    guessed = with_focal(truth.rig.cameras, wrong)
    found = calibrate(detected, guessed, method="essential", seed=0, jobs=1, focal="unknown")
    for camera, sd in zip(found.rig.cameras, found.bundle.focal_sd, strict=True):
        assert camera.focal == pytest.approx(490, rel=0.02)
        assert abs(camera.focal / 490 - 1) < 4 * sd
    assert found.verdict.level != "fail"


def test_focal_lengths_that_are_about_right_are_refined(truth, detected):
    about = with_focal(truth.rig.cameras, 1.05)
    options = {"method": "essential", "seed": 0, "jobs": 1}
    held = calibrate(detected, about, focal="known", **options)
    refined = calibrate(detected, about, focal="refined", **options)
    assert held.rig.cameras[0].focal == pytest.approx(1.05 * 490)
    assert refined.rig.cameras[0].focal == pytest.approx(490, rel=0.02)
    assert refined.bundle.cost < held.bundle.cost


def test_intrinsics_assumed_from_the_field_of_view():
    camera = assumed_intrinsics("a", (1920, 1080), 90.0)
    assert camera.focal == pytest.approx(960)
    assert camera.K[:2, 2].tolist() == [959.5, 539.5]


@pytest.mark.parametrize(
    ("text", "kind", "length"),
    [("height=1.78m", "height", 1780), ("femur=40cm", "femur", 400), ("baseline:a,b=3200mm", "baseline", 3200)],
)
def test_scale_rules(text, kind, length):
    rule = parse_scale(text)
    assert (rule.kind, rule.length_mm) == (kind, length)
    assert parse_scale(str(rule)) == rule


NO_RULES = [
    "",
    "height",
    "height=1.78",
    "height=-1m",
    "height=0m",
    "height=1780000m",
    "height=178m",
    "height=17cm",
    "baseline=3m",
    "arm=3m",
]


@pytest.mark.parametrize("text", [*NO_RULES, "femur:a,b=4m", "baseline:a,a=3m"])
def test_what_is_no_scale_rule(text):
    with pytest.raises(UsageError, match=r"expected height=1\.78m"):
        parse_scale(text)


@pytest.mark.parametrize("rule", ["height=1.75m", "femur=425mm", "baseline:cam1,cam2=5.6m"])
def test_scale_makes_the_measured_length_true(truth, rule):
    small = truth.rig.scaled(0.001, "arbitrary", "none")
    poses = replace(truth.poses, xyz=truth.poses.xyz * 0.001, unit="arbitrary")
    found = apply_scale(small, poses, parse_scale(rule))
    factor = np.linalg.norm(found.cameras[0].center) / np.linalg.norm(small.cameras[0].center)
    grown = replace(poses, xyz=poses.xyz * factor, unit="mm")
    measured = {
        "height": stature(grown),
        "femur": femur_length(grown),
        "baseline": np.linalg.norm(found.cameras[0].center - found.cameras[1].center),
    }
    assert measured[parse_scale(rule).kind] == pytest.approx(parse_scale(rule).length_mm)
    assert (found.unit, found.scale_source) == ("mm", str(parse_scale(rule)))


def test_without_a_rule_the_body_is_canonical_and_the_unit_says_so(truth):
    found = apply_scale(truth.rig, truth.poses, None)
    factor = np.linalg.norm(found.cameras[0].center) / np.linalg.norm(truth.rig.cameras[0].center)
    assert stature(truth.poses) * factor == pytest.approx(1700)
    assert (found.unit, found.scale_source) == ("arbitrary", "none")


def test_a_baseline_between_unknown_cameras(truth):
    with pytest.raises(InputError, match="no camera for view door"):
        apply_scale(truth.rig, truth.poses, parse_scale("baseline:cam1,door=1m"))


def test_a_body_whose_legs_are_never_seen_gives_no_scale(capfd):
    truth = exact_labels(frames=5)
    xyz = truth.poses.xyz.copy()
    xyz[:, truth.poses.skeleton.index("left_knee")] = np.nan
    xyz[:, truth.poses.skeleton.index("right_knee")] = np.nan
    poses = replace(truth.poses, xyz=xyz)
    with pytest.raises(GeometryError, match=r"the shin is in no frame.*or baseline:cam1,cam2=3\.2m"):
        apply_scale(truth.rig, poses, parse_scale("height=1.7m"))
    found = apply_scale(truth.rig, poses, None)
    assert found.unit == "arbitrary"
    assert np.linalg.norm(found.cameras[0].center - found.cameras[1].center) == pytest.approx(1700)
    assert "shin is in no frame" in capfd.readouterr().err


def test_angles_are_exact_when_small_and_large():
    import cv2

    for angle in (1e-7, 0.1, 3.1):
        R = cv2.Rodrigues(np.array([0, angle, 0.0]))[0]
        assert angle_deg(R) == pytest.approx(np.degrees(angle), rel=1e-9)
