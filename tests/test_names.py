"""Cameras and views that programs call by the same name in other words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from epitool.errors import InputError
from epitool.stages.shared.camera_checks import fit_sizes

QTM = ("trial1_Miqus_10_35444", "trial1_Miqus_7_35441", "trial1_Miqus_8_35442", "trial1_Miqus_9_35443")


@pytest.mark.parametrize(
    ("cameras", "views", "served"),
    [
        (("35441", "35442", "35443", "35444"), QTM, [QTM[1], QTM[2], QTM[3], QTM[0]]),
        (("Miqus_7_35441", "Miqus_8_35442", "Miqus_9_35443"), QTM, [QTM[1], QTM[2], QTM[3]]),
        (("trial1_cam_01", "trial1_cam_02", "trial1_cam_03"), ("cam1", "cam2"), ["cam1", "cam2", "trial1_cam_03"]),
        (("1", "2"), ("walk_1_a", "walk_1_b"), ["1", "2"]),  # a number that both views have is of neither
        (("35441", "35442"), ("x_135441", "x_354420"), ["35441", "35442"]),  # words are whole
        (("cam15", "cam105"), ("cam_105", "cam_15"), ["cam_15", "cam_105"]),  # zeros inside of a number count
    ],
)
def test_a_camera_serves_the_view_that_has_its_name_among_other_words(truth, cameras, views, served):
    cams = tuple(replace(camera, name=name) for camera, name in zip(truth.rig.cameras, cameras, strict=False))
    assert list(replace(truth.rig, cameras=cams).named_as(views).names) == served


def test_images_that_were_turned_since_the_calibration_are_refused_as_such(truth, tmp_path):
    lying = replace(truth.rig.cameras[0], image_size=(1920, 1088))
    with pytest.raises(InputError, match="the view has 1088x1920: these were turned by a quarter since the"):
        fit_sizes([lying], [(1088, 1920)], tmp_path / "a.toml")
    with pytest.raises(InputError, match="the view has 800x600; give the cameras of the mode that was filmed in"):
        fit_sizes([lying], [(800, 600)], tmp_path / "a.toml")
