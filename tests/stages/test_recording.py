"""The chain up to labels on the real recording, with the floors that it must reach there."""

from pathlib import Path

import numpy as np
import pytest

from epitool.geometry.body.scale import distance_between
from epitool.geometry.calibration.compare import compare_rigs
from epitool.io.cameras import read_rig
from epitool.io.labels_h5 import read_labels
from epitool.io.sample import sample_recording
from epitool.options import CalibrateOptions, Detect2dOptions, TriangulateOptions
from epitool.stages import calibrate, detect2d, triangulate
from epitool.stages.shared import detecting

pytest.importorskip("mediapipe", reason="needs the detector: pip install 'epitool[mediapipe]' (Python up to 3.12)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    recording, folder = sample_recording(), tmp_path_factory.mktemp("recording")
    joints = folder / "keypoints.h5"
    detect2d.run(Detect2dOptions(views=recording.views, out=joints, device="cpu"))
    reference = read_rig(recording.calibration)
    distance = np.linalg.norm(reference.cameras[0].center - reference.cameras[1].center)
    scale, out = f"baseline:cam01,cam02={distance:.0f}mm", folder / "cameras.toml"
    calibrate.run(CalibrateOptions(keypoints=joints, intrinsics=recording.calibration, scale=scale, out=out, jobs=1))
    triangulate.run(TriangulateOptions(keypoints=joints, cameras=out, out=folder / "labels.h5", jobs=1))
    return folder


def test_every_pair_is_within_4_degrees_of_the_shipped_calibration(folder):
    """That calibration is itself good to about 4 degrees."""
    rig, shipped = read_rig(folder / "cameras.toml"), read_rig(sample_recording().calibration)
    for pair in compare_rigs(rig, shipped):
        assert pair.rotation_deg < 4, pair
        assert pair.direction_deg < 4, pair


def test_the_labels_reproject_better_than_with_the_shipped_cameras(folder):
    labels = read_labels(folder / "labels.h5")
    assert np.nanmedian(labels.reprojection_px) < 9
    shipped = folder / "shipped.h5"
    cameras = sample_recording().calibration
    triangulate.run(TriangulateOptions(keypoints=folder / "keypoints.h5", cameras=cameras, out=shipped, jobs=1))
    assert np.nanmedian(labels.reprojection_px) < np.nanmedian(read_labels(shipped).reprojection_px)


def test_frames_with_exchanged_sides_are_found_in_the_view_from_behind(folder):
    swapped = read_labels(folder / "labels.h5").swapped.sum(axis=0)
    assert 20 <= swapped[1] <= 32
    assert swapped[[0, 2, 3]].sum() <= 4


def test_the_body_has_the_size_that_the_camera_distance_gives(folder):
    """Femur 0.39 to 0.40 m and shoulders 0.355 m are known of this man; 5% is what the cameras allow."""
    poses = read_labels(folder / "labels.h5").poses
    for side in ("left", "right"):
        assert np.nanmedian(distance_between(poses, f"{side}_hip", f"{side}_knee")) == pytest.approx(395, rel=0.05)
    assert np.nanmedian(distance_between(poses, "left_shoulder", "right_shoulder")) == pytest.approx(355, rel=0.05)


def test_running_again_detects_nothing_again(folder, monkeypatch):
    monkeypatch.setattr(detecting, "open_detector", lambda name, device: pytest.fail("a detector was opened"))
    views = sample_recording().views
    joints = folder / "keypoints.h5"
    before = joints.read_bytes()
    detect2d.run(Detect2dOptions(views=views, out=joints, device="cpu"))
    assert joints.read_bytes() == before


def test_images_of_the_labels_lead_back_to_the_videos(folder):
    name = read_labels(folder / "labels.h5").keypoints.images[7, 2]
    video, _, frame = name.rpartition("#")
    assert Path(video).resolve() == sample_recording().views[2].resolve()
    assert frame == "7"
