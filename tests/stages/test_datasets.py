"""Published datasets, in small trees made up here in their exact formats."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from conftest import exact_labels
from scipy.io import savemat
from test_cli import epitool, failing

from epitool.camera import Camera, Rig
from epitool.errors import InputError
from epitool.io.datasets.h36m import CAMERAS, read_h36m
from epitool.io.datasets.mpi_inf_3dhp import read_mpi_inf_3dhp
from epitool.io.keypoints_h5 import read_keypoints
from epitool.io.labels_h5 import read_labels, write_labels
from epitool.options import CalibrateOptions, Detect2dOptions, EvaluateOptions, TriangulateOptions
from epitool.skeleton import skeleton
from epitool.stages import calibrate, detect2d, evaluate, triangulate
from epitool.stages.shared import detecting

H36M_IN_32 = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
IN_28 = {"pelvis": 4, "spine": 3, "thorax": 5, "neck_nose": 6, "head_top": 7, "left_hip": 18, "right_ankle": 25}
FRAMES = 70


def turn(angles) -> np.ndarray:
    """The release's rotation: about x, y and z, multiplied in this order."""
    (a, b, c), one = angles, np.eye(3)
    x, y, z = one.copy(), one.copy(), one.copy()
    x[1:, 1:] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    y[0, 0], y[0, 2], y[2, 0], y[2, 2] = np.cos(b), np.sin(b), -np.sin(b), np.cos(b)
    z[:2, :2] = [[np.cos(c), -np.sin(c)], [np.sin(c), np.cos(c)]]
    return x @ y @ z


def rig_of(seed: int) -> tuple[Rig, np.ndarray]:
    """Four cameras with distortion, and the release's six numbers of each."""
    cameras, six = [], []
    for k, name in enumerate(CAMERAS):
        rng = np.random.default_rng(10 * seed + k)
        angle = np.pi / 2 * k + rng.uniform(-0.2, 0.2)
        center = 4500 * np.array([np.cos(angle), np.sin(angle), 0.35])
        ahead = -(center - [0, 0, 900]) / np.linalg.norm(center - [0, 0, 900])
        right = np.cross(ahead, [0, 0, 1.0])
        right /= np.linalg.norm(right)
        R = np.stack([right, np.cross(ahead, right), ahead])
        b = np.arcsin(R[0, 2])
        angles = [np.arctan2(-R[1, 2], R[2, 2]), b, np.arctan2(-R[0, 1], R[0, 0])]
        np.testing.assert_allclose(turn(angles), R, atol=1e-12)
        K = [[1145.0 + k, 0, 512], [0, 1143, 515], [0, 0, 1]]
        distortion = [-0.2, 0.24, -0.001, -0.003, -0.002]
        cameras.append(Camera(name, K, distortion, R, -R @ center, (1000, 1002 if k in (0, 3) else 1000)))
        six.append([*angles, *center])
    return Rig(tuple(cameras), "mm", "none"), np.array(six)


def motion(seed: int) -> np.ndarray:
    return exact_labels(FRAMES, seed).poses.xyz


@pytest.fixture(scope="module")
def official(tmp_path_factory) -> Path:
    """Subjects 1 and 9, two takes each, in the release's tree."""
    cdfwrite = pytest.importorskip("cdflib.cdfwrite", reason="the extra [datasets] is not installed")
    root = tmp_path_factory.mktemp("h36m")
    numbers = np.zeros((4, 11, 6))
    for subject in (1, 9):
        rig, numbers[:, subject - 1] = rig_of(subject)
        base = root / f"S{subject}" / "MyPoseFeatures"
        for folder in (base / "D3_Positions", base / "D2_Positions", root / f"S{subject}" / "Videos"):
            folder.mkdir(parents=True)
        for take, seed in (("Directions", 0), ("WalkingDog 1", 1)):
            xyz = np.zeros((FRAMES, 32, 3))
            xyz[:, H36M_IN_32] = motion(subject * 10 + seed)
            write_cdf(cdfwrite, base / "D3_Positions" / f"{take}.cdf", xyz)
            for v, name in enumerate(CAMERAS):
                write_cdf(cdfwrite, base / "D2_Positions" / f"{take}.{name}.cdf", rig.project(xyz)[:, v])
                (root / f"S{subject}" / "Videos" / f"{take}.{name}.mp4").write_bytes(b"x")
    lenses = [[1145.0 + k, 1143, 512, 515, -0.2, 0.24, -0.002, -0.001, -0.003] for k in range(4)]
    w0 = " ".join(repr(float(x)) for x in [*numbers.ravel(), *np.ravel(lenses)])
    (root / "Release-v1.2").mkdir()
    (root / "Release-v1.2" / "metadata.xml").write_text(f"<h36m><w0>[{w0}]</w0></h36m>")
    return root


def write_cdf(cdfwrite, path: Path, values: np.ndarray) -> None:
    file = cdfwrite.CDF(path)
    spec = {"Variable": "Pose", "Data_Type": 44, "Num_Elements": 1, "Rec_Vary": True}
    flat = values.reshape(1, len(values), -1).astype(np.float32)
    file.write_var({**spec, "Dim_Sizes": flat.shape[1:]}, var_data=flat)
    file.close()


def test_the_releases_cameras_and_poses_are_read(official, here):
    takes = read_h36m(official)
    assert [take.take.name for take in takes] == [
        "S1 Directions",
        "S1 WalkingDog 1",
        "S9 Directions",
        "S9 WalkingDog 1",
    ]
    assert [take.test for take in takes] == [False, False, True, True]
    assert takes[1].take.action == "WalkDog"
    for take, (subject, seed) in zip(takes, ((1, 0), (1, 1), (9, 0), (9, 1)), strict=True):
        true, xyz = rig_of(subject)[0], motion(subject * 10 + seed)
        np.testing.assert_allclose(take.read(np.arange(FRAMES))[0], xyz, atol=1e-3)
        np.testing.assert_allclose(take.take.rig.project(xyz), true.project(xyz), atol=1e-6)
        np.testing.assert_allclose(take.take.rig.cameras[2].center, true.cameras[2].center, atol=1e-6)
    names = takes[0].read(np.array([7]))[1]
    assert names[0, 1] == f"{official}/S1/Videos/Directions.55011271.mp4#7"


def test_written_parts_are_the_papers(official, here):
    for out in ((), ("--out", "h36m")):  # the default is named as the dataset
        assert epitool("import", "h36m", official, "--every", "2", *out).returncode == 0
    train, test = read_labels(Path("h36m/train.h5")), read_labels(Path("h36m/test.h5"))
    assert train.keypoints.split == (66, 70)  # the last 5% of each of two takes choose the checkpoint
    assert train.keypoints.take_of.tolist() == [0] * 33 + [1] * 33 + [0] * 2 + [1] * 2
    assert [len(test.parts[part]) for part in ("train", "val", "test")] == [0, 0, 4]  # frames 0 and 64 of two takes
    first, second = rig_of(9)[0], motion(90)[[0, 64]]
    np.testing.assert_allclose(test.in_cameras[:2], first.to_cameras(second), atol=1e-2)
    np.testing.assert_allclose(test.keypoints.xy[:2], first.project(second), atol=1e-2)
    assert test.keypoints.images[1, 0].endswith("Directions.54138969.mp4#64")
    assert [take.action for take in test.takes] == ["Directions", "WalkDog"]


def test_training_subjects_can_be_chosen(official, here):
    epitool("import", "h36m", official, "--subjects", "1", "--out", "one")
    assert {take.name[:2] for take in read_labels(Path("one/train.h5")).takes} == {"S1"}
    said = failing(2, "import", "h36m", official, "--subjects", "4,5")
    assert "no training recording of S4, S5" in said
    assert "found S1" in said


def test_takes_go_through_the_whole_geometry(official, here):
    epitool("import", "h36m", official, "--every", "1")
    path = Path("h36m/train.h5")
    truth = read_labels(path)
    for cameras, combine in ((path, "robust"), (path, "vector-median"), (Path("own.toml"), "robust")):
        if cameras != path:
            calibrate.run(CalibrateOptions(keypoints=path, intrinsics=path, out=cameras, jobs=1))
        triangulate.run(TriangulateOptions(keypoints=path, cameras=cameras, combine=combine, jobs=1))
        labels = read_labels(Path("labels.h5"))
        assert labels.keypoints.split == truth.keypoints.split
        assert len(np.unique(labels.keypoints.take_of)) >= 2
        summary = evaluate.run(
            EvaluateOptions(predictions=(Path("labels.h5"),), truth=path, pss=(5,), split="all", by=("action",))
        )
        row = summary.values["rows"][0]
        assert {metric["name"]: metric["value"] for metric in row["metrics"]}["NMPJPE"] < 0.5
        assert set(row["by_action"]["NMPJPE"]) > {"Directions", "WalkDog"}


def test_parts_without_training_frames_are_measured_too(official, here):
    """There is no mean pose of training frames to compare with, and no poses to make clusters of."""
    epitool("import", "h36m", official)
    result = epitool("evaluate", "--predictions", "h36m/test.h5", "--truth", "h36m/test.h5", "--pss", "50")
    assert result.returncode == 0, result.stderr
    assert "give --pss-file" in result.stdout
    assert "mean pose" not in result.stdout


class Whitest:
    """Finds someone whose joints are all at the brightest pixel."""

    name, skeleton = "whitest", skeleton("h36m17")

    def detect(self, image):
        place = np.array(np.unravel_index(image[..., 0].argmax(), image.shape[:2]))[::-1]
        return np.tile(place, (17, 1)).astype(float), np.ones(17)


def test_joints_are_detected_in_the_images_that_labels_name(here, truth, monkeypatch):
    labels = truth.between(0, 6)
    for f, row in enumerate(labels.keypoints.images.tolist()):
        for v, name in enumerate(row):
            image = np.zeros((200, 300, 3), np.uint8)
            image[10 * f + 5, 20 * v + 7] = 200
            image[190, 290] = 255  # a brighter one, elsewhere
            Path(name).parent.mkdir(exist_ok=True)
            cv2.imwrite(str(Path(name).with_suffix(".png")), image)
    images = np.char.replace(labels.keypoints.images, ".jpg", ".png")
    sizes = np.tile([300, 200], (4, 1))
    spread = np.random.default_rng(0).uniform(-40, 40, (6, 4, 17, 2))
    around = np.array([[[20 * v + 7, 10 * f + 5] for v in range(4)] for f in range(6)])
    keypoints = replace(labels.keypoints, xy=spread + around[:, :, None], images=images, image_size=sizes, split=(4, 5))
    write_labels(Path("some.h5"), replace(labels, keypoints=keypoints))
    monkeypatch.setattr(detecting, "open_detector", lambda *_: Whitest())
    options = {"detector": "mediapipe", "jobs": 1, "device": "cpu"}
    detect2d.run(Detect2dOptions(images=Path("some.h5"), out=Path("found.h5"), **options))
    found = read_keypoints(Path("found.h5"))
    assert (found.split, found.views, found.frames.tolist()) == ((4, 5), labels.rig.names, list(range(6)))
    assert found.xy[3, 2, 0].tolist() == [47, 35]  # in the box of its joints, though counted from the image's corner
    with pytest.raises(Exception, match="not both"):
        detect2d.run(
            Detect2dOptions(images=Path("some.h5"), out=Path("found.h5"), **{**options, "views": [Path("cam1")]})
        )


@pytest.fixture(scope="module")
def processed(tmp_path_factory) -> Path:
    """Subject 1 in the processed annotations."""
    root, (rig, _) = tmp_path_factory.mktemp("h36m_json"), rig_of(1)
    (root / "annotations").mkdir()
    stem = f"{root}/annotations/Human36M_subject1_"
    cameras = {
        str(v + 1): {
            "R": c.R.tolist(), "t": c.t.tolist(), "f": c.K[[0, 1], [0, 1]].tolist(), "c": c.K[:2, 2].tolist()
        }
        for v, c in enumerate(rig.cameras)
    }  # fmt: skip
    folder = "s_01_act_02_subact_01_ca_0{}"
    images = [
        {
            "file_name": f"{folder}/{folder}_{f + 1:06d}.jpg".format(v, v), "action_name": "Directions",
            "action_idx": 2, "subaction_idx": 1, "cam_idx": v, "frame_idx": f,
        }
        for f in range(0, FRAMES, 5)
        for v in range(1, 5)
    ]  # fmt: skip
    joints = {"2": {"1": {str(f): pose.tolist() for f, pose in enumerate(motion(3))}}}
    for name, content in (("camera", cameras), ("data", {"images": images}), ("joint_3d", joints)):
        Path(f"{stem}{name}.json").write_text(json.dumps(content))
    for v in range(1, 5):
        file = root / "images" / images[v - 1]["file_name"]
        file.parent.mkdir(parents=True)
        file.write_bytes(b"x")
    return root


def test_processed_annotations_are_read(processed, here):
    (take,) = read_h36m(processed)
    assert (take.take.name, take.take.action, take.test) == ("S1 Directions 1", "Directions", False)
    assert take.frames.tolist() == list(range(0, FRAMES, 5))
    xyz, images = take.read(np.array([10, 15]))
    np.testing.assert_allclose(xyz, motion(3)[[10, 15]])
    true = rig_of(1)[0]
    np.testing.assert_allclose(take.take.rig.to_cameras(xyz), true.to_cameras(xyz), atol=1e-9)
    assert images[1, 3].endswith("s_01_act_02_subact_01_ca_04/s_01_act_02_subact_01_ca_04_000016.jpg")


@pytest.fixture(scope="module")
def threedhp(tmp_path_factory) -> Path:
    """Sequence 1 of subject 1 with 14 cameras, and test sequence 5."""
    root, labels = tmp_path_factory.mktemp("3dhp"), exact_labels(30)
    xyz = np.random.default_rng(0).normal([0, 0, 1000], 300, (30, 28, 3))
    (root / "S1" / "Seq1" / "imageSequence").mkdir(parents=True)
    text, own, flat = "Skeletool Camera Calibration File V1.0\n", np.empty((14, 1), object), np.empty((14, 1), object)
    for c in range(14):
        camera = labels.rig.cameras[c % 4]
        own[c, 0] = camera.to_camera(xyz).reshape(30, -1)
        flat[c, 0] = camera.project(xyz).reshape(30, -1)
        K, place = np.eye(4), np.eye(4)
        K[:3, :3], place[:3, :3], place[:3, 3] = camera.K, camera.R, camera.t
        text += f"name          {c}\n  sensor      10 10\n  size        2048 2048\n  animated    0\n"
        for key, matrix in (("intrinsic", K), ("extrinsic", place)):
            text += f"  {key}   {' '.join(f'{x:.9g}' for x in matrix.ravel())} \n"
        text += "  radial      0\n"
        (root / "S1" / "Seq1" / "imageSequence" / f"video_{c}.avi").write_bytes(b"x")
    (root / "S1" / "Seq1" / "camera.calibration").write_text(text)
    savemat(root / "S1" / "Seq1" / "annot.mat", {"annot2": flat, "annot3": own, "frames": np.arange(30)})
    images = root / "mpi_inf_3dhp_test_set" / "TS5" / "imageSequence"
    images.mkdir(parents=True)
    cv2.imwrite(str(images / "img_000003.jpg"), np.zeros((1080, 1920, 3), np.uint8))
    seen = np.random.default_rng(1).normal([0, 0, 4000], 300, (12, 17, 3))
    with h5py.File(images.parent / "annot_data.mat", "w") as file:
        file["annot3"], valid = seen[:, None], np.ones((12, 1))
        file["annot2"] = (seen[..., :2] / seen[..., 2:] * [1683, 1671] + [939, 560])[:, None]
        valid[:2] = 0
        file["valid_frame"] = valid
    return root


def test_3dhp_is_read(threedhp, here):
    training, test = read_mpi_inf_3dhp(threedhp)
    assert training.take.rig.names == ("video_0", "video_2", "video_4", "video_7", "video_8")
    xyz, images = training.read(np.array([0, 3]))
    truth = np.random.default_rng(0).normal([0, 0, 1000], 300, (30, 28, 3))
    for joint, place in IN_28.items():
        np.testing.assert_allclose(xyz[:, skeleton("h36m17").index(joint)], truth[[0, 3], place], atol=1e-3)
    assert images[1, 4].endswith("S1/Seq1/imageSequence/video_8.avi#3")
    assert (test.test, test.frames.tolist()) == (True, list(range(2, 12)))
    camera = test.take.rig.cameras[0]
    np.testing.assert_allclose(camera.K, [[1683, 0, 939], [0, 1671, 560], [0, 0, 1]], atol=1e-6)
    assert camera.image_size == (1920, 1080)
    seen = np.random.default_rng(1).normal([0, 0, 4000], 300, (12, 17, 3))
    body = skeleton("mpi_inf_3dhp17")  # the order of the test set's own files
    for joint in ("pelvis", "left_knee", "right_wrist", "spine", "head_top"):
        found = test.read(np.array([4]))[0][0, skeleton("h36m17").index(joint)]
        np.testing.assert_allclose(found, seen[4, body.index(joint)])
    assert epitool("import", "mpi-inf-3dhp", threedhp).returncode == 0
    assert read_labels(Path("mpi-inf-3dhp/test.h5")).keypoints.images[0, 0].endswith("img_000003.jpg")
    assert len(read_labels(Path("mpi-inf-3dhp/train.h5")).poses.frames) == 6


def test_calibration_of_another_recording_is_refused(threedhp, tmp_path):
    folder = tmp_path / "S1" / "Seq1"
    folder.mkdir(parents=True)
    text = (threedhp / "S1" / "Seq1" / "camera.calibration").read_text()
    (folder / "annot.mat").write_bytes((threedhp / "S1" / "Seq1" / "annot.mat").read_bytes())
    (folder / "imageSequence").mkdir()
    (folder / "camera.calibration").write_text(text)
    assert read_mpi_inf_3dhp(tmp_path)
    rows = [line for line in text.split("\n") if "extrinsic" in line]
    (folder / "camera.calibration").write_text(text.replace(rows[2], rows[1], 1))
    with pytest.raises(InputError, match=r"disagrees with annot\.mat"):
        read_mpi_inf_3dhp(tmp_path)


def photograph(root: Path, name: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(root / name), np.zeros((48, 64, 3), np.uint8))


def test_mpii_json_is_read(here):
    root = Path("mpii")
    people = [
        {"image": f"{i}.jpg", "joints": [[k + 1, i + 1] for k in range(16)], "joints_vis": [1] * 16} for i in range(4)
    ]
    people[1]["joints_vis"] = [0] * 13 + [1] * 3  # too few to learn from
    people[2]["joints_vis"] = [0] + [1] * 15
    (root / "annot").mkdir(parents=True)
    (root / "annot" / "train.json").write_text(json.dumps(people[:3]))
    (root / "annot" / "valid.json").write_text(json.dumps(people[3:]))
    photograph(root, "images/0.jpg")
    assert epitool("import", "mpii", root, "--out", "out").returncode == 0
    found = read_keypoints(Path("out/train.h5"))
    assert (found.skeleton.name, found.split, len(found.frames)) == ("mpii16", (2, 3), 3)
    assert found.xy[1, 0, 5].tolist() == [5, 2]  # counted from 0
    assert np.isnan(found.xy[1, 0, 0]).all()
    assert found.image_size.tolist() == [[0, 0]]


def test_mpiis_own_file_is_read(here):
    def person(x):
        joints = np.array([(x + k, 20.0 + k, k) for k in range(16)], dtype=[("x", "O"), ("y", "O"), ("id", "O")])
        points = np.empty((1, 1), dtype=[("point", "O")])
        points[0, 0] = (joints[None],)
        return points

    Path("mpii").mkdir()
    annolist = np.empty((1, 3), dtype=[("image", "O"), ("annorect", "O")])
    for i in range(3):
        image, rect = np.empty((1, 1), dtype=[("name", "O")]), np.empty((1, i + 1), dtype=[("annopoints", "O")])
        image[0, 0] = (f"{i}.jpg",)
        for n in range(i + 1):
            rect[0, n] = (person(10.0 * n + 1),)
        annolist[0, i] = (image, rect)
    release = {"annolist": annolist, "img_train": np.array([[1, 0, 1]])}
    savemat("mpii/mpii_human_pose_v1_u12_1.mat", {"RELEASE": release})
    photograph(Path("mpii"), "images/0.jpg")
    assert epitool("import", "mpii", "mpii", "--out", "out").returncode == 0
    found = read_keypoints(Path("out/train.h5"))
    assert [Path(name).name for name in found.images[:, 0]] == ["0.jpg", "2.jpg", "2.jpg", "2.jpg"]
    assert found.xy[2, 0, 4].tolist() == [14, 23]


def test_coco_is_read(here):
    root = Path("coco")
    (root / "annotations").mkdir(parents=True)
    for part, number in (("train2017", 1), ("val2017", 2)):
        joints = [v for k in range(17) for v in (k, 2 * k, 2 if k else 0)]
        someone = {"image_id": number, "keypoints": joints, "num_keypoints": 16, "iscrowd": 0}
        crowd = {**someone, "iscrowd": 1}
        content = {"images": [{"id": number, "file_name": f"{number:012d}.jpg"}], "annotations": [crowd, someone]}
        (root / "annotations" / f"person_keypoints_{part}.json").write_text(json.dumps(content))
        photograph(root, f"{part}/{number:012d}.jpg")
    assert epitool("import", "coco", root).returncode == 0
    found = read_keypoints(Path("coco/train.h5"))
    assert (found.split, found.xy[0, 0, 3].tolist(), np.isnan(found.xy[0, 0, 0]).all()) == ((1, 2), [3, 6], True)


@pytest.mark.parametrize(
    ("dataset", "content", "said"),
    [
        ("h36m", {}, "holds neither"),
        ("h36m", {"annotations/Human36M_subject1_data.json": "{"}, "no such file; it should be processed"),
        ("mpi-inf-3dhp", {"S1/Seq1/camera.calibration": "x"}, "cannot be read as a Skeletool camera calibration"),
        ("mpii", {"annot/train.json": "[{}]"}, "lacks"),
        ("mpii", {"annot/train.json": '[{"image": "../../x", "joints": 1}]'}, "cannot be read"),
        ("mpii", {"m.mat": "no"}, "cannot be read as MPII's annotations"),
        ("coco", {}, "no such file"),
    ],
)
def test_what_is_no_dataset_is_said_in_one_line(here, dataset, content, said):
    Path("root").mkdir()
    for name, text in content.items():
        Path("root", name).parent.mkdir(parents=True, exist_ok=True)
        Path("root", name).write_text(text)
    assert said in failing(3, "import", dataset, "root")
    assert not list(Path(dataset).glob("*")) or dataset == "root"


def test_names_that_lead_out_of_the_folder_are_refused(here):
    Path("root/annot").mkdir(parents=True)
    one = {"image": "../../secret.jpg", "joints": [[k, k] for k in range(16)], "joints_vis": [1] * 16}
    Path("root/annot/train.json").write_text(json.dumps([one]))
    assert "would lie outside" in failing(3, "import", "mpii", "root")
