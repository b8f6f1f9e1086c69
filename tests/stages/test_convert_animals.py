"""Files that DeepLabCut's and SLEAP's own libraries write, read by `convert`."""

from __future__ import annotations

import importlib.util
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import fetched
from test_cli import epitool, failing

from epitool.io.foreign.joints import deeplabcut, read_views
from epitool.io.foreign.joints.format import JointFile
from epitool.io.keypoints_h5 import read_keypoints
from epitool.skeleton import skeleton

PARTS = skeleton("coco17").joints
F = 6
KIND = "values_block_0_kind"
BY_PANDAS = """
import sys, numpy as np, pandas as pd
rows, parts = np.load("joints.npy"), sys.argv[1].split(",")
for number in (1, 2):
    who = {"individuals": [f"m{p}" for p in range(number)]} if number > 1 else {}
    levels = {"scorer": ["DLC"], **who, "bodyparts": parts, "coords": ["x", "y", "likelihood"]}
    columns = pd.MultiIndex.from_product(list(levels.values()), names=list(levels))
    table = pd.DataFrame(rows[:, :number].reshape(len(rows), -1), columns=columns)
    table.to_hdf(f"cam{number}.h5", key="df_with_missing", format="table", mode="w")
"""


def write_deeplabcut(folder: Path, joints: np.ndarray) -> None:
    """`cam1.h5` of one animal, `cam2.h5` of two, by pandas in a process of its own, for its HDF5 and h5py's are two."""
    np.save(folder / "joints.npy", joints)
    subprocess.run([sys.executable, "-c", BY_PANDAS, ",".join(PARTS)], check=True, cwd=folder)


@pytest.fixture(scope="module")
def joints() -> np.ndarray:
    """Two animals, x, y and likelihood `(F, 2, 17, 3)`; the first one's left wrist is never seen."""
    rows = np.random.default_rng(0).uniform([5, 5, 0.4], [600, 400, 0.9], (F, 2, 17, 3))
    rows[:, 0, 9] = np.nan
    return rows


@pytest.fixture(scope="module")
def written(tmp_path_factory, joints) -> Path:
    folder = tmp_path_factory.mktemp("deeplabcut")
    write_deeplabcut(folder, joints)
    return folder


@pytest.fixture
def video(here, written) -> Path:
    return Path(shutil.copy(written / "cam1.h5", "cam1.h5"))


@pytest.mark.parametrize("individuals", [1, 2])
def test_deeplabcuts_h5(joints, written, individuals):
    (view,) = read_views(written / f"cam{individuals}.h5")
    assert (view.skeleton.name, sorted(view.people)) == ("coco17", list(range(F)))
    for frame, expected in enumerate(joints[:, :individuals]):
        xy, confidence = view.people[frame]
        np.testing.assert_array_equal(xy, expected[..., :2])
        np.testing.assert_array_equal(confidence, np.nan_to_num(expected[..., 2]))


class Harmful:
    """Unpickled by anything else, it would make a folder."""

    def __reduce__(self):
        return os.mkdir, ("run",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (pickle.dumps(Harmful(), 0), "cannot be read (posix.mkdir)"),
        (pickle.dumps([("DLC", "nose", Harmful())], 0), "cannot be read"),
        (b"", "cannot be read"),
        (b"I1\n.", "columns that are not DeepLabCut's"),
        (pickle.dumps([("DLC", "nose", "x")], 0), "1 names for values (6, 51)"),
        (pickle.dumps([("DLC", "nose", str(i)) for i in range(51)], 0), "columns 0, 1, 10, "),
    ],
)
def test_pickles_in_it_are_not_run(video, content, said):
    with h5py.File(video, "r+") as file:
        attributes = file["df_with_missing/table"].attrs
        attributes[KIND] = np.bytes_(content) if content else h5py.Empty("S1")
    assert said in failing(3, "convert", video, "--size", "640x480", "--out", "k.h5")
    assert not Path("run").exists()
    assert not Path("k.h5").exists()


def test_an_h5_of_another_program_is_named(here):
    with h5py.File("cam1.h5", "w") as file:
        file["data"] = np.zeros(3)
    assert "neither 'tracks'" in failing(3, "convert", "cam1.h5", "--size", "640x480", "--out", "k.h5")


def test_a_table_of_hand_marked_images_is_named(video):
    with h5py.File(video, "r+") as file:
        rows = file["df_with_missing/table"][()]
        del file["df_with_missing/table"]
        named = np.zeros(len(rows), [("index", "S9"), ("values_block_0", "f8", (51,))])
        file["df_with_missing/table"] = named
    with pytest.raises(ValueError, match="frames are no numbers"):
        deeplabcut.VIDEO.read(JointFile(Path(video)), None)


BY_SLEAP = """
import sys, numpy as np, sleap_io as sio
rows, body = np.load(sys.argv[1]), sio.Skeleton(nodes=sys.argv[3].split(","))
predicted = lambda row: sio.PredictedInstance.from_numpy(row[:, :2], skeleton=body, point_scores=row[:, 2], score=0.9)
frames = []
for number, video in enumerate([sio.Video("left.mp4"), sio.Video("right.mp4")]):
    for f, row in enumerate(rows[:, number]):
        people = [predicted(row)]
        if f == 2:  # put right by hand
            people.append(sio.Instance.from_numpy(row[:, :2] + 1, skeleton=body, from_predicted=people[0]))
        frames.append(sio.LabeledFrame(video=video, frame_idx=f, instances=people))
sio.Labels(frames).save(sys.argv[2])
"""


def test_sleaps_project_has_a_view_for_each_video(here, joints):
    pytest.importorskip("sleap_io", reason="the extra [sleap] wants numpy 2, mediapipe numpy 1")
    np.save("joints.npy", joints)
    subprocess.run([sys.executable, "-c", BY_SLEAP, "joints.npy", "two.slp", ",".join(PARTS)], check=True)
    result = epitool("convert", "two.slp", "--size", "640x480", "--out", "k.h5")
    assert result.returncode == 0, result.stderr
    keypoints = read_keypoints(Path("k.h5"))
    assert keypoints.views == ("left", "right")
    expected = joints.copy()
    expected[2, ..., :2] += 1
    np.testing.assert_allclose(keypoints.xy, expected[..., :2])
    np.testing.assert_allclose(keypoints.confidence[0], np.nan_to_num(expected[0, ..., 2]))


def test_without_sleap_io_the_extra_is_named(here):
    if importlib.util.find_spec("sleap_io"):
        pytest.skip("the extra [sleap] is installed")
    Path("a.slp").write_text("x")
    assert "epitool[sleap]" in failing(2, "convert", "a.slp", "--size", "640x480", "--out", "k.h5")


@pytest.fixture(scope="module")
def reaching() -> Path:
    """Joints of a mouse that DeepLabCut has found in a video, and in 3D, from the source of dlc2kinematics."""

    def unpack(archive: Path, folder: Path) -> None:
        with tarfile.open(archive) as packed:
            for member in packed.getmembers():
                if member.name.endswith(".h5") and (file := packed.extractfile(member)):
                    (folder / Path(member.name).name).write_bytes(file.read())

    return fetched("dlc2kinematics==0.0.7", unpack, "--no-binary", ":all:")


def test_a_real_file_of_deeplabcut(here, reaching):
    result = epitool("convert", reaching / "reachingDEMO_2D.h5", "--size", "1280x1024", "--out", "k.h5")
    assert result.returncode == 0, result.stderr
    keypoints = read_keypoints(Path("k.h5"))
    assert (keypoints.xy.shape, keypoints.skeleton.name) == ((800, 1, 33, 2), "custom")
    assert {"nose", "right_wrist", "right_shoulder"} <= set(keypoints.skeleton.joints)
    with h5py.File(reaching / "reachingDEMO_2D.h5") as file:
        rows = file["df_with_missing/table"]["values_block_0"].reshape(800, 33, 3)
    np.testing.assert_allclose(keypoints.xy[:, 0], rows[..., :2], rtol=1e-6)
    np.testing.assert_allclose(keypoints.confidence[:, 0], rows[..., 2], rtol=1e-6)


def test_a_real_file_of_3d_joints_is_named(here, reaching):
    said = failing(3, "convert", reaching / "reachingDEMO_3D.h5", "--size", "1280x1024", "--out", "k.h5")
    assert "columns x, y, z; those of a video's 2D joints are x, y, likelihood" in said
