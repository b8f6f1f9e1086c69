"""2D joints as other programs write them: every layout gives the people it was made of, or says why not."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from test_cli import epitool, failing
from test_images import write_images

from epitool.io.foreign.joints import read_views
from epitool.io.keypoints_h5 import read_keypoints
from epitool.skeleton import skeleton

F = 5


FIGURE = {  # who stands before the camera, in pixels from the pelvis; the right side is the left one's mirror
    "nose": (2, -95), "left_eye": (5, -99), "left_ear": (9, -96), "head_top": (0, -115), "neck_nose": (2, -90),
    "neck": (0, -75), "thorax": (0, -74), "spine": (0, -37), "pelvis": (0, 0), "left_shoulder": (24, -74),
    "left_elbow": (33, -34), "left_wrist": (36, 0), "left_hip": (13, 1), "left_knee": (15, 58), "left_ankle": (14, 112),
    "left_big_toe": (20, 124), "left_small_toe": (25, 122), "left_heel": (13, 120),
}  # fmt: skip


def rows(name: str, more: int = 0) -> np.ndarray:
    """Joints of a person in F frames `(F, J, 3)`, and further ones at the nose, as faces and hands have them."""
    mirrored = {joint.replace("left", "right"): (-x, y) for joint, (x, y) in FIGURE.items() if "left" in joint}
    there = [(FIGURE | mirrored)[joint] for joint in skeleton(name).joints]
    xy = 300 + np.array(there) + np.random.default_rng(0).normal(0, 2, (F, len(there), 2))
    xy = np.concatenate([xy, np.repeat(xy[:, :1], more, axis=1) + np.arange(more)[:, None] / 9], axis=1)
    return np.concatenate([xy, np.full((*xy.shape[:2], 1), 0.75)], axis=-1)


def write(path: str, content: object, encoding: str = "utf-8") -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(content if isinstance(content, str) else json.dumps(content), encoding=encoding)


def check(path: str, expected: np.ndarray, body: str, given: str | None = None) -> None:
    (view,) = read_views(Path(path), skeleton(given) if given else None)
    assert view.skeleton.name == body
    assert sorted(view.people) == list(range(F))
    for frame, person_seen in enumerate(expected):
        (xy,), (confidence,) = view.people[frame]
        np.testing.assert_allclose(xy, person_seen[: len(view.skeleton), :2], atol=1e-6)
        np.testing.assert_allclose(confidence, person_seen[: len(view.skeleton), 2])


def instance(row: np.ndarray) -> dict:
    return {"keypoints": row[:, :2].tolist(), "keypoint_scores": row[:, 2].tolist(), "bbox": [[1, 2, 3, 4]]}


# OpenPose


@pytest.mark.parametrize("key", ["pose_keypoints_2d", "pose_keypoints"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_openpose_of_any_version_and_encoding(here, key, encoding):
    for f, row in enumerate(rows("coco18")):
        write(f"cam1/{f:03d}.json", {"people": [{key: row.ravel().tolist()}]}, encoding)
    check("cam1", rows("coco18"), "coco18")


# Whole bodies


@pytest.mark.parametrize(
    ("count", "body", "given"),
    [
        (133, "coco23", None), (133, "coco17", "coco17"), (133, "coco23", "coco23"), (136, "halpe26", None),
        (136, "coco17", "coco17"), (135, "body25b", None), (135, "body25", None),
    ],
)  # fmt: skip
def test_whole_bodies_without_names_are_their_bodies(here, count, body, given):
    full = {133: "coco23", 136: "halpe26"}.get(count, body)
    expected = rows(full, count - len(skeleton(full)))
    for f, row in enumerate(expected):
        write(f"openpose/{f}.json", {"people": [{"pose_keypoints_2d": row.ravel().tolist()}]})
    check("openpose", expected, body, given)
    write("mmpose.json", [{"frame_id": f, "instances": [instance(row)]} for f, row in enumerate(expected)])
    check("mmpose.json", expected, body, given)
    results = [{"image_id": f"{f}.jpg", "keypoints": row.ravel().tolist()} for f, row in enumerate(expected)]
    write("alphapose-results.json", results)
    check("alphapose-results.json", expected, body, given)


def test_face_and_hands_that_are_left_out_are_said(here):
    for f, row in enumerate(rows("coco23", 110)):
        write(f"cam1/{f}.json", {"people": [{"pose_keypoints_2d": row.ravel().tolist()}]})
    result = epitool("convert", "cam1", "--size", "640x480", "--out", "k.h5")
    assert "their order is coco23" in result.stderr
    assert "of whole bodies the body's 23 joints are taken; those of face and hands are left out" in result.stderr
    assert read_keypoints(Path("k.h5")).skeleton.name == "coco23"
    said = failing(3, "convert", "cam1", "--skeleton", "body25", "--size", "640x480", "--out", "x.h5")
    assert "133 joints, but body25 has 25" in said


def test_whole_bodies_with_names_keep_every_joint(here):
    names = [*skeleton("coco23").joints, *(f"face-{j}" for j in range(110))]
    info = [{"frame_id": f + 1, "instances": [instance(row)]} for f, row in enumerate(rows("coco23", 110))]
    meta = {"keypoint_id2name": {str(j): name for j, name in enumerate(names)}}
    write("cam1.json", {"meta_info": meta, "instance_info": info})
    check("cam1.json", rows("coco23", 110), "custom")


# MMPose and AlphaPose


@pytest.mark.parametrize("named", [False, True])
def test_mmpose_has_a_file_for_each_image_of_a_folder(here, named):
    for f, row in enumerate(rows("coco17")):
        names = {str(j): name for j, name in enumerate(skeleton("coco17").joints)}
        one = {"meta_info": {"keypoint_id2name": names}, "instance_info": [instance(row)]}
        write(f"cam1/frame_{f:05d}.json", one if named else [instance(row)])
    check("cam1", rows("coco17"), "coco17")
    assert read_views(Path("cam1"))[0].judged != named


@pytest.mark.parametrize("body", ["coco17", "h36m17"])
def test_seventeen_joints_without_names_are_told_apart(here, body):
    write("cam1.json", [{"frame_id": f, "instances": [instance(row)]} for f, row in enumerate(rows(body))])
    check("cam1.json", rows(body), body)


@pytest.mark.parametrize(("everyone", "key"), [("bodies", "joints"), ("people", "pose_keypoints_2d")])
def test_alphaposes_formats_cmu_and_open(here, everyone, key):
    images = {f"{f}.jpg": {everyone: [{key: row.ravel().tolist()}]} for f, row in enumerate(rows("coco18"))}
    write("cam1/alphapose-results.json", images)
    check("cam1/alphapose-results.json", rows("coco18"), "coco18")
    for name, image in images.items():
        write(f"sep-json/{Path(name).stem}.json", image)
    check("sep-json", rows("coco18"), "coco18")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("cam/1.json", [{"frame_id": 0, "instances": []}], "joints of a whole video; give the file, not its folder"),
        ("cam/1.json", {"instance_info": [{"instances": []}]}, "of a whole video; give the file, not its folder"),
        ("cam/1.json", [{"image_id": "1.jpg", "keypoints": [1]}], "give the file, not its folder"),
        ("cam/1.json", {"intrinsicMat": []}, "MMPose's instances, but named intrinsicMat"),
        ("cam/1.json", [1, 2], "but a list of 2, the first 1"),
        ("cam/1.json", {"people": [[1, 2]]}, "no joints are stated, but a list of 2"),
        ("cam/1.json", {"people": [{"pose_keypoints_2d": ["x", 2, 1]}]}, "joints that are no numbers: ['x', 2, 1]"),
        ("cam/1.json", [{"keypoints": [[1, 2]], "keypoint_scores": [1, 2]}], "2 keypoint_scores for keypoints of 2"),
        ("cam.json", [{"keypoints": [1], "keypoint_scores": [1]}], "but a list of 1, the first named keypoints"),
        ("cam.json", {"positions": []}, "but named positions"),
        ("cam.json", [], "but an empty list"),
        ("cam.json", "3", "but 3"),
        ("cam.json", {"instance_info": [{"keypoints": []}]}, "of one image; give the folder"),
        (
            "cam.json",
            [{"image_id": 1, "keypoints": [1, 2, 3]}, {"image_id": 2, "keypoints": [1] * 6}],
            "1 and 2 joints",
        ),
        ("cam.json", [{"image_id": None, "keypoints": [1, 2, 1]}], "'None' has no frame number"),
        ("cam.json", {"images": [], "annotations": [{"image_id": 7, "keypoints": [1]}]}, "joints of image 7, which is"),
    ],
)
def test_what_is_refused_says_what_was_found(here, name, content, said):
    write(name, content)
    message = failing(3, "convert", name.partition("/")[0], "--size", "640x480", "--out", "k.h5")
    assert said in message
    for python in ("indices must be", "has no attribute", "not subscriptable", "broadcast", "reshape"):
        assert python not in message


# DeepLabCut


def deeplabcut(who: dict[str, list[str]], cells: np.ndarray) -> str:
    """A table as DeepLabCut writes it, of cells `(F, columns)`."""
    columns = [("DLC_net", w, part, c) for w, parts in who.items() for part in parts for c in ("x", "y", "likelihood")]
    heads = zip(("scorer", "individuals", "bodyparts", "coords"), zip(*columns, strict=True), strict=True)
    lines = [[head, *words] for head, words in heads if len(who) > 1 or head != "individuals"]
    lines += [[str(f), *(f"{x:.3f}" for x in row)] for f, row in enumerate(cells)]
    return "\n".join(",".join(line) for line in lines) + "\n"


def test_unique_parts_of_deeplabcut_belong_to_nobody(here, capfd):
    cells = np.random.default_rng(0).uniform(0.1, 0.9, (F, 15)).round(3) * [*[100, 100, 1] * 5]
    write(
        "cam1DLC_net_el.csv", deeplabcut({"m1": ["nose", "tail"], "m2": ["nose", "tail"], "single": ["feeder"]}, cells)
    )
    (view,) = read_views(Path("cam1DLC_net_el.csv"))
    assert (view.name, view.skeleton.joints) == ("cam1", ("nose", "tail"))
    for f in range(F):
        np.testing.assert_allclose(view.people[f][0], cells[f].reshape(5, 3)[:4, :2].reshape(2, 2, 2), atol=1e-3)
    assert "belong to no individual ('single') are left out: feeder" in capfd.readouterr().err
    write("cam2.csv", deeplabcut({"m1": ["nose", "tail"], "m2": ["nose", "ear"]}, cells[:, :12]))
    (view,) = read_views(Path("cam2.csv"))
    assert view.skeleton.joints == ("nose", "tail", "ear")
    assert np.isnan(view.people[0][0][[0, 1], [2, 1]]).all()


@pytest.mark.parametrize("how", ["plain", "mark", "semicolons", "utf-16"])
def test_tables_of_spreadsheets_are_read(here, how):
    cells = np.random.default_rng(0).uniform(0.1, 0.9, (F, 6)).round(3) * [100, 100, 1, 100, 100, 1]
    text = deeplabcut({"": ["nose", "tail"]}, cells)
    text = text.replace(",", ";").replace(".", ",") if how == "semicolons" else text
    write("a.csv", text, {"mark": "utf-8-sig", "utf-16": "utf-16"}.get(how, "utf-8"))
    (view,) = read_views(Path("a.csv"))
    found = np.stack([np.column_stack([view.people[f][0][0], view.people[f][1][0]]) for f in range(F)])
    np.testing.assert_allclose(found, cells.reshape(F, 2, 3), atol=1e-3)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "track,frame_idx,nose.x\na,0,1\n",
            "the first row is: track, frame_idx, nose.x; of SLEAP's export",
        ),
        ("", "the first row is: nothing"),
        ("scorer,a,a,a\nbodyparts,n,n,n\ncoords,x,y,likelihood\n0,1,2\n", "row 4 has 3 cells, expected 4 or more"),
        ("scorer,a,a,a\nbodyparts,n,n,n\ncoords,x,y,likelihood\n0,1,2,q\n", "joints that are no numbers"),
    ],
)
def test_tables_that_are_refused_say_what_was_found(here, content, said):
    write("cam1.csv", content + "\n")
    assert said in failing(3, "convert", "cam1.csv", "--size", "640x480", "--out", "k.h5")


# SLEAP


def sleap(path: str, axes: list[str], stated: bool = True) -> np.ndarray:
    """An analysis export with the axes in this order; returns its joints `(F, P, J, 3)`."""
    found = np.random.default_rng(0).uniform([5, 5, 0.4], [600, 400, 0.9], (F, 2, 4, 3))
    known = ["frame", "track", "node", "xy"]
    with h5py.File(path, "w") as file:
        file["tracks"] = found[..., :2].transpose([known.index(axis) for axis in axes])
        file["point_scores"] = found[..., 2].transpose([known.index(axis) for axis in axes if axis != "xy"])
        file["node_names"] = np.array([b"a", b"b", b"c", b"d"])
        if stated:
            file["tracks"].attrs["dims"] = json.dumps(axes)
    return found


@pytest.mark.parametrize(
    ("axes", "stated"),
    [
        (["track", "xy", "node", "frame"], False), (["track", "xy", "node", "frame"], True),
        (["frame", "track", "node", "xy"], True), (["node", "frame", "xy", "track"], True),
    ],
)  # fmt: skip
def test_the_axes_of_sleaps_export_are_as_it_states(here, axes, stated):
    expected = sleap("cam1.analysis.h5", axes, stated)
    (view,) = read_views(Path("cam1.analysis.h5"))
    assert view.name == "cam1"
    for f in range(F):
        np.testing.assert_allclose(view.people[f][0], expected[f, ..., :2])
        np.testing.assert_allclose(view.people[f][1], expected[f, ..., 2])


def test_axes_of_sleap_that_nobody_states_are_not_guessed(here):
    sleap("cam1.h5", ["frame", "track", "node", "xy"], stated=False)
    said = failing(3, "convert", "cam1.h5", "--size", "640x480", "--out", "k.h5")
    assert "'point_scores' is of (4, 5, 2), 'tracks' of (2, 5, 4, 2)" in said
    with h5py.File("cam1.h5", "r+") as file:
        file["tracks"].attrs["dims"] = json.dumps(["frame", "node", "track", "xy"])
    said = failing(3, "convert", "cam1.h5", "--size", "640x480", "--out", "k.h5")
    assert "'tracks' is of frames 5, tracks 4, nodes 2, xy 2, but 4 nodes are named" in said


# What views are called


def test_views_are_called_after_the_footage(here):
    cells = np.random.default_rng(0).uniform(0.1, 0.9, (F, 6)) * [100, 100, 1, 100, 100, 1]
    names = [f"cam{n}DLC_other_el.csv" for n in (1, 2)]
    for n, name in enumerate(names, 1):
        write(name, deeplabcut({"": ["nose", "tail"]}, cells))
        write_images(Path(f"cam{n}"), [f"{f}.png" for f in range(F)], (640, 480))
    result = epitool("convert", *names, "--views", "cam1", "cam2", "--out", "k.h5")
    assert result.returncode == 0, result.stderr
    assert read_keypoints(Path("k.h5")).views == ("cam1", "cam2")
    said = failing(2, "convert", *names, "--views", "cam2", "cam1", "--out", "x.h5")
    assert "in another order than the joints" in said
