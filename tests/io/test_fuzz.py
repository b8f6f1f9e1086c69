"""Readers of texts, given documents that are almost right: read, or refused in one line; `corpus/` keeps finds.

`EPITOOL_HOSTILE=2000 pytest tests/io/test_fuzz.py` tries a thousand times as many.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import yaml
from conftest import exact_labels
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epitool.errors import EpitoolError
from epitool.io.cameras import read_rig, write_rig
from epitool.io.foreign.joints import read_views
from epitool.io.predictions import read_predictions, write_predictions
from epitool.pose import Predictions
from epitool.skeleton import skeleton

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CORPUS = sorted((Path(__file__).parents[1] / "corpus").iterdir())  # names begin with the document that was changed
EXAMPLES = 60 * int(os.environ.get("EPITOOL_HOSTILE", "2"))
OF_CODE = re.compile(
    "indices must|has no attribute|subscriptable|broadcast|reshape|exception set|could not convert|invalid literal"
    "|inhomogeneous|must be (a|str|int|real)|unexpected keyword|unsupported operand|not iterable|to unpack"
)
HOLDS: dict[str, Any] = {}
JOINTS = list(skeleton("coco17").joints)


def documents() -> dict[str, tuple[str, Any, Callable[[Path], object]]]:
    """Sound contents by what they are: the file's suffix, the content, and what reads it."""
    if HOLDS:
        return HOLDS
    rows = np.random.default_rng(0).uniform(5, 400, (3, 17, 3)) * [1, 1, 0.002]
    flat = [row.ravel().tolist() for row in rows]
    coco = {
        "images": [{"id": f, "file_name": f"{f}.jpg", "width": 640, "height": 480} for f in range(3)],
        "annotations": [{"image_id": f, "keypoints": flat[f]} for f in range(3)],
        "categories": [{"keypoints": JOINTS}],
    }
    mmpose = {
        "meta_info": {"keypoint_id2name": dict(zip(map(str, range(17)), JOINTS))},
        "instance_info": [
            {"frame_id": f, "instances": [{"keypoints": rows[f, :, :2].tolist(), "keypoint_scores": [0.5] * 17}]}
            for f in range(3)
        ],
    }
    alpha = [{"image_id": f"{f}.jpg", "keypoints": flat[f], "score": 2.0} for f in range(3)]
    labels = exact_labels(3)
    folder = Path(tempfile.mkdtemp())
    poses = labels.in_cameras[:, 0] - labels.in_cameras[:, 0, :1]
    names, boxes = tuple("abc"), np.tile([0.0, 0, 99, 99], (3, 1))
    seen = Predictions(
        names, boxes, poses, labels.keypoints.xy[:, 0], np.ones((3, 17)), labels.poses.skeleton, "mm", {}
    )
    write_predictions(folder / "pose.json", seen)
    write_rig(folder / "cameras.toml", labels.rig)
    anipose = {
        f"cam_{i}": {
            "name": f"cam{i}", "size": [640, 480], "matrix": [[500.0, 0, 320], [0, 500, 240], [0, 0, 1]],
            "distortions": [0.1, 0, 0, 0, 0], "rotation": [0.1 * i, 0, 0], "translation": [1.0 * i, 0, 0],
        }
        for i in range(3)
    }  # fmt: skip
    HOLDS.update({
        "coco": (".json", coco, read_views), "mmpose": (".json", mmpose, read_views),
        "alphapose": (".json", alpha, read_views),
        "pose": (".json", json.loads((folder / "pose.json").read_text()), read_predictions),
        "cameras": (".toml", tomllib.loads((folder / "cameras.toml").read_text()), read_rig),
        "anipose": (".toml", {**anipose, "metadata": {"error": 1.0}}, read_rig),
        **foreign_documents(anipose, flat),
    })  # fmt: skip
    return HOLDS


def foreign_documents(tables: dict[str, Any], flat: list[list[float]]) -> dict[str, tuple[str, Any, Any]]:
    """Further layouts of cameras and joints."""
    caliscope = {str(n): {"cam_id": n, "ignore": False, **table} for n, table in enumerate(tables.values())}
    matrix = {"rows": 3, "cols": 3, "data": [500.0, 0, 320, 0, 500, 240, 0, 0, 1]}
    ros = {"image_width": 640, "image_height": 480, "camera_matrix": matrix, "distortion_model": "plumb_bob"}
    kalibr = {
        "camera_model": "pinhole", "intrinsics": [500.0, 500, 320, 240], "distortion_model": "radtan",
        "distortion_coeffs": [0.1, 0, 0, 0], "resolution": [640, 480], "T_cn_cnm1": np.eye(4).tolist(),
    }  # fmt: skip
    stereo = {"M1": matrix, "D1": [0.1, 0, 0, 0], "M2": matrix, "D2": [0, 0, 0, 0], "R": [0, 0, 0], "T": [1, 0, 0]}
    mccalib = {"camera_matrix": matrix, "img_width": 640, "img_height": 480, "camera_pose_matrix": np.eye(4).tolist()}
    images = {f"{f}.jpg": {"people": [{"pose_keypoints_2d": row}]} for f, row in enumerate(flat)}
    return {
        "caliscope": (".toml", {"cameras": caliscope}, read_rig), "ros": (".yaml", ros, read_rig),
        "kalibr": (".yaml", {"cam0": kalibr, "cam1": kalibr}, read_rig), "stereo": (".yaml", stereo, read_rig),
        "mccalib": (".yaml", {"nb_camera": 1, "camera_0": mccalib}, read_rig), "open": (".json", images, read_views),
    }  # fmt: skip


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 5), st.sampled_from([2**31, 2**63, -(2**63), 10**30]),
    st.floats(width=64), st.text(max_size=5), st.sampled_from(["mm", "m", "coco17", "../x", "1e999", "nan", "a#3"]),
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
CHANGES = st.lists(
    st.tuples(st.lists(st.integers(0, 2**16), min_size=1, max_size=6), st.just("drop") | VALUES), max_size=3
)


def changed(content: Any, steps: list[int], value: Any) -> Any:
    """The content with what lies at the end of the steps dropped or replaced; each step picks a child by number."""
    if not steps or not isinstance(content, dict | list) or not content:
        return value
    keys = list(content) if isinstance(content, dict) else range(len(content))
    at = keys[steps[0] % len(keys)]
    copy: Any = dict(content) if isinstance(content, dict) else list(content)
    if len(steps) == 1 and value == "drop":
        del copy[at]
    else:
        copy[at] = changed(copy[at], steps[1:], value)
    return copy


def written(content: Any, suffix: str) -> str | None:
    """As a text; None for what TOML has no word for."""
    if suffix == ".json":
        return json.dumps(content)
    if suffix == ".yaml":
        return yaml.safe_dump(content)
    try:
        return tomli_w.dumps(content)
    except (TypeError, ValueError, AttributeError):
        return None


NAMES = [
    "coco", "mmpose", "alphapose", "open", "pose", "cameras", "anipose", "caliscope", "ros", "kalibr", "stereo",
    "mccalib",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@given(changes=CHANGES)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_documents_that_are_almost_right_are_read_or_refused(here, name, changes):
    suffix, content, read = documents()[name]
    for steps, value in changes:
        content = changed(content, steps, value)
    text = written(content, suffix)
    if text is None:
        return
    path = here / f"almost{suffix}"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    assert_read_or_refused(path, read)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_what_was_found_is_read_or_refused(path):
    assert_read_or_refused(path, documents()[path.name.partition("-")[0]][2])


def assert_read_or_refused(path: Path, read: Callable[[Path], object]) -> None:
    """Whatever the file holds, there is an answer, or one line that names the file."""
    said = ""
    try:
        read(path)
    except EpitoolError as error:
        said = str(error)
    assert not said or path.name in said
    assert not OF_CODE.search(said)
    assert "\n" not in said
