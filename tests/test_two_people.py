"""Two people, and a detector that finds one an image: the cameras hold, and a warning says what is likely."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from conftest import exact_labels
from test_cli import epitool

from epitool.geometry.compare import compare_rigs
from epitool.io.cameras import read_rig, write_rig
from epitool.io.keypoints import write_keypoints
from epitool.synthetic import noisy_keypoints


def test_now_one_now_the_other_in_each_view(here):
    first, second = exact_labels(120, 0), exact_labels(120, 7)
    moved = replace(second.poses, xyz=second.poses.xyz + np.array([900.0, -700.0, 0.0]))
    one = noisy_keypoints(first, sigma_px=1.5, outliers=0.02, swap_share=0.0, seed=0)
    xy = np.where(np.isfinite(first.rig.project(moved.xyz)), first.rig.project(moved.xyz), np.nan)
    other = np.random.default_rng(0).random((120, 4)) < 0.5
    mixed = replace(one, xy=np.where(other[..., None, None], xy, one.xy), confidence=np.ones(xy.shape[:3]))
    write_keypoints(Path("keypoints.h5"), mixed)
    write_rig(Path("lenses.toml"), first.rig)
    result = epitool("calibrate", "--intrinsics", "lenses.toml")
    assert result.returncode == 0, result.stderr
    assert "are there two people?" in result.stderr
    for pair in compare_rigs(read_rig(Path("cameras.toml")), first.rig):
        assert pair.rotation_deg < 1
