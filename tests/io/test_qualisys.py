"""Qualisys's cameras: which of them are read, and what is filmed of their sensors."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from epitool.errors import InputError
from epitool.io.cameras import read_rig
from epitool.io.foreign.cameras.qualisys import write_qualisys


def test_a_qualisys_camera_that_is_not_calibrated_is_left_out_aloud(here, truth, capfd):
    path = write_qualisys(Path("a.qca.txt"), truth.rig)
    text = path.read_text()
    bad = 'serial="cam3" calibrated="false" message="Camera not calibrated"'
    path.write_text(text.replace('serial="cam3"', bad).replace('serial="cam1"', 'serial="cam1" calibrated="true"'))
    assert read_rig(path).names == ("cam1", "cam2", "cam4")
    said = capfd.readouterr().err
    assert 'camera cam3 is left out, for the file states calibrated="false" of it ("Camera not calibrated")' in said
    for word in ("<calibration", "<camera"):
        path.write_text(text.replace(f"{word} ", f'{word} calibrated="false" '))
        with pytest.raises(InputError, match='states calibrated="false" of the whole file'):
            read_rig(path)


@pytest.mark.parametrize("last", [0, 1])  # of a sensor, in 64ths of a pixel, files count both ways
def test_a_qualisys_camera_without_a_window_is_taken_to_film_its_whole_sensor(here, truth, capfd, last):
    path = write_qualisys(Path("a.qca.txt"), truth.rig)
    width, height = truth.rig.cameras[0].image_size
    sensor = {"sensorMinU": 0, "sensorMaxU": 64 * width - last, "sensorMinV": 0, "sensorMaxV": 64 * height - last}
    stated = " ".join(f'{name}="{value}.000000"' for name, value in sensor.items())
    text = re.sub(r"<fov_video [^>]*/>", "", path.read_text()).replace("<intrinsic ", f"<intrinsic {stated} ")
    path.write_text(text)
    for found, camera in zip(read_rig(path).cameras, truth.rig.cameras, strict=True):
        np.testing.assert_allclose(found.K, camera.K, atol=1e-9)
        assert found.image_size == camera.image_size
    assert f"states no fov_video, the part of the sensor that was filmed; the whole sensor is taken: cam1 {width}x" in (
        capfd.readouterr().err
    )
    path.write_text(text.replace("sensorMaxV", "other"))
    with pytest.raises(InputError, match="camera cam1 has no fov_video, and its intrinsic lacks sensorMaxV"):
        read_rig(path)


def test_pose2sim_takes_our_qualisys_cameras_for_those_of_video(here, truth):
    """It reads cameras whose model is called video or none, and their residual."""
    root = ElementTree.parse(write_qualisys(Path("a.qca.txt"), truth.rig)).getroot()
    for node in root.findall("cameras/camera"):
        assert node.get("model") == "none"
        assert np.isnan(float(node.get("avg-residual")))
