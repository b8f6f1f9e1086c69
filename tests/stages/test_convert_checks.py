"""What `convert` refuses, and says, of joints and poses that are not what they seem."""

import json
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from test_images import write_images, write_video

from epitool.errors import GeometryError, InputError, UsageError
from epitool.io.foreign.joints import read_views
from epitool.io.foreign.joints.orders import JointOrderError, body_by_anatomy, body_of
from epitool.io.keypoints_h5 import read_keypoints
from epitool.io.predictions import write_predictions
from epitool.options import ConvertOptions
from epitool.pose import Predictions
from epitool.skeleton import SKELETONS, skeleton
from epitool.stages import convert
from epitool.stages.shared.footage import check_frame_rates

F = 6
OUT = Path("k.h5")


def person(name: str, seed: int = 0) -> np.ndarray:
    """Joints `(J, 2)` of some body in this order, about 170 px high, whose bones are short."""
    tree, rng = skeleton(name), np.random.default_rng(seed)
    xy, side = np.full((len(tree), 2), np.nan), np.array([[0.0, 25.0], [12.0, 22.0], [-12.0, 22.0]])
    while np.isnan(xy).any():
        for j, (joint, parent) in enumerate(zip(tree.joints, tree.parents, strict=True)):
            way = side[1 if joint.startswith("left_") else 2 if joint.startswith("right_") else 0]
            xy[j] = (0, 0) if parent < 0 else xy[parent] + way
    return 300 + xy + rng.normal(0, 2, xy.shape)


def write_openpose(
    folder: str,
    frames=range(F),
    name: str = "coco17",
    change=lambda xy: xy,
    confidence=lambda xy: np.full(len(xy), 0.8),
) -> Path:
    Path(folder).mkdir(parents=True)
    for f in frames:
        xy = change(person(name, f))
        rows = np.column_stack([xy, confidence(xy)])
        content = {"people": [{"pose_keypoints_2d": rows.ravel().tolist()}]}
        (Path(folder) / f"a_{f:06d}_keypoints.json").write_text(json.dumps(content))
    return Path(folder)


def converted(*inputs: Path | str, out: Path = OUT, **options: object) -> convert.Summary:
    body = "coco17" if out.suffix == ".h5" else None
    given = {"skeleton": body, **options}
    return convert.run(ConvertOptions(inputs=[Path(path) for path in inputs], out=out, **given))


SIZE = {"size": (640, 480)}


# Where joints lie


@pytest.mark.parametrize("low", [0, -1])
def test_normalised_coordinates_are_refused(here, low):
    write_openpose("cam1_json", change=lambda xy: low + xy / 640)
    with pytest.raises(InputError, match=r"normalised coordinates; pixels are needed"):
        converted("cam1_json", size=(1920, 1080))


@pytest.mark.parametrize("size", [(640, 480), (480, 640)])
def test_joints_of_frames_that_were_not_turned_are_refused(size, here):
    """The joints are spread over images of 640x480."""

    def spread(xy):
        return (xy - xy.min(axis=0)) / np.ptp(xy, axis=0) * [600, 440] + 10

    write_openpose("cam1_json", change=spread)
    if size == (640, 480):
        assert converted("cam1_json", size=size)
        return
    with pytest.raises(
        InputError, match="hardly any outside of 640x480: they were found in frames that were not turne"
    ):
        converted("cam1_json", size=size)


def test_joints_guessed_below_the_image_are_no_turn(here):
    """Someone seated, legs out of view, in the left half of a wide image; the detector is not sure of the legs."""

    def below(xy):
        return (xy - xy.min(axis=0)) / np.ptp(xy, axis=0) * [400, 620] + 10

    write_openpose("cam1_json", change=below, confidence=lambda xy: np.where(xy[..., 1] < 480, 0.9, 0.2))
    assert converted("cam1_json", size=(640, 480))


def test_joints_left_of_the_images_are_far_outside_too(here):
    write_openpose("cam1_json", change=lambda xy: xy - 1500)
    with pytest.raises(InputError, match="100% of the joints lie far outside of 640x480 images"):
        converted("cam1_json", **SIZE)


def test_joints_of_downscaled_images_are_warned_of(here, capfd):
    write_openpose("cam1_json", range(40))
    converted("cam1_json", size=(1920, 1080))
    assert "if they were found in smaller images" in capfd.readouterr().err
    converted("cam1_json", **SIZE)
    assert "smaller images" not in capfd.readouterr().err


@pytest.mark.parametrize("given", ["footage", "--size"])
def test_a_size_that_the_file_contradicts_is_refused(here, given):
    write_images(Path("left"), ["0.png"], (640, 480))
    rows = np.column_stack([person("coco17") / 4, np.ones(17)]).ravel().tolist()
    content = {
        "images": [{"id": 1, "file_name": "0.png", "width": 160, "height": 120}],
        "annotations": [{"image_id": 1, "keypoints": rows}],
    }
    Path("cam1.json").write_text(json.dumps(content))
    options = {"views": [Path("left")]} if given == "footage" else SIZE
    with pytest.raises(InputError, match=f"{given} says 640x480, the file of joints says 160x120"):
        converted("cam1.json", **options)


# Which joints they are


def test_names_in_a_file_win_over_a_skeleton_given():
    names = list(reversed(skeleton("coco17").joints))
    with pytest.raises(JointOrderError, match=r"not as coco17's .*: right_ankle, "):
        body_of(17, names, {}, skeleton("coco17"))
    assert (
        body_of(17, [n.replace("_", " ") for n in skeleton("coco17").joints], {}, skeleton("coco17")).name == "coco17"
    )


@pytest.mark.parametrize("name", ["mpii16", "halpe26", "blazepose33", "coco17", "body25"])
def test_an_order_that_makes_no_body_is_not_taken(name):
    people = np.array([person(name, seed) for seed in range(20)])
    shown = {0: (people, np.ones(people.shape[:2]))}
    assert body_by_anatomy(len(skeleton(name)), shown).name == name
    mixed = people[:, np.random.default_rng(1).permutation(people.shape[1])]
    with pytest.raises(JointOrderError, match="joints without names, "):
        body_by_anatomy(len(skeleton(name)), {0: (mixed, np.ones(people.shape[:2]))})


def test_a_face_alone_does_not_tell_an_order():
    people = np.array([person("halpe26", seed) for seed in range(3)])
    people[:, 5:] = np.nan
    assert body_by_anatomy(26, {0: (people, np.ones(people.shape[:2]))}).name == "halpe26"


def test_the_order_taken_is_said(here, capfd):
    write_openpose("cam1_json", name="halpe26")
    converted("cam1_json", **SIZE, skeleton=None)
    assert "their order is halpe26" in capfd.readouterr().err
    converted("cam1_json", **SIZE, skeleton="halpe26")
    assert "their order" not in capfd.readouterr().err


def test_instances_that_someone_marked_in_sleap_have_no_score_and_are_kept(here):
    xy = np.array([person("coco17", f) for f in range(F)])
    scores = np.full((F, 17), 0.7)
    xy[2, 4], scores[2] = np.nan, np.nan
    with h5py.File("cam1.analysis.h5", "w") as file:
        file["tracks"] = xy.transpose(2, 1, 0)[None]
        file["point_scores"] = scores.T[None]
        file["node_names"] = np.array([name.encode() for name in skeleton("coco17").joints])
    (view,) = read_views(Path("cam1.analysis.h5"))
    (found,), (confidence,) = view.people[2]
    np.testing.assert_array_equal(found, xy[2])
    np.testing.assert_array_equal(confidence, np.isfinite(xy[2, :, 0]))
    assert (view.people[1][1] == 0.7).all()


def test_mmposes_inferencer_counts_from_zero(here):
    frames = [
        {"frame_id": f, "instances": [{"keypoints": person("coco17", f).tolist(), "keypoint_scores": [0.9] * 17}]}
        for f in range(F)
    ]
    frames[3]["instances"] = []
    Path("cam1.json").write_text(json.dumps(frames))
    (view,) = read_views(Path("cam1.json"))
    assert (view.name, view.program, sorted(view.people)) == ("cam1", "MMPose", list(range(F)))
    assert len(view.people[3][0]) == 0
    np.testing.assert_allclose(view.people[5][0][0], person("coco17", 5))


# Which footage they are of


@pytest.mark.parametrize("names", [("cam1", "cam2"), ("Cam_01", "Cam_02")])
def test_footage_in_another_order_than_the_joints_is_refused(here, names):
    for name, folder in zip(names, ("cam1_json", "cam2_json"), strict=True):
        write_images(Path(name), [f"{f}.png" for f in range(F)], (640, 480))
        write_openpose(folder)
    views = [Path(name) for name in names]
    with pytest.raises(UsageError, match=f"of cam2, cam1; give --views {names[1]} {names[0]}"):
        converted("cam2_json", "cam1_json", views=views)
    converted("cam1_json", "cam2_json", views=views)
    assert read_keypoints(OUT).images[0].tolist() == [f"{name}/0.png" for name in names]


def test_alphaposes_views_are_called_as_its_folders_or_the_footage(here):
    rows = np.column_stack([person("coco17"), np.ones(17)]).ravel().tolist()
    for path in ("left/alphapose-results.json", "right/alphapose-results.json", "a/out.json", "b/out.json"):
        Path(path).parent.mkdir()
        Path(path).write_text(json.dumps([{"image_id": f"{f}.jpg", "keypoints": rows} for f in range(F)]))
    converted("left/alphapose-results.json", "right/alphapose-results.json", **SIZE)
    assert read_keypoints(OUT).views == ("left", "right")
    with pytest.raises(UsageError, match="two views are named 'out'"):
        converted("a/out.json", "b/out.json", **SIZE)
    for name in ("cam1", "cam2"):
        write_images(Path(name), [f"{f}.png" for f in range(F)], (640, 480))
    converted("a/out.json", "b/out.json", views=[Path("cam1"), Path("cam2")])
    assert read_keypoints(OUT).views == ("cam1", "cam2")


def write_rated(path: str, rate: float, count: int = F) -> None:
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), rate, (640, 480))
    for _ in range(count):
        writer.write(np.zeros((480, 640, 3), np.uint8))
    writer.release()


def test_footage_of_different_frame_rates_is_refused(here):
    for n, rate in enumerate((25, 50), 1):
        write_rated(f"cam{n}.avi", rate)
        write_openpose(f"cam{n}_json")
    with pytest.raises(InputError, match="frames per second: cam1 25, cam2 50"):
        converted("cam1_json", "cam2_json", views=[Path("cam1.avi"), Path("cam2.avi")])


def test_rates_of_5994_and_60_are_warned_of_where_they_come_to_half_a_frame(here, capfd):
    for rate, frames, drifts in ((59.94, 600, True), (59.94, 400, False), (60, 600, False)):
        for n, each in enumerate((60, rate), 1):
            write_rated(f"cam{n}.avi", each)
        check_frame_rates({"cam1": "cam1.avi#0", "cam2": "cam2.avi#0"}, frames)
        assert ("the views drift 0.6 frames apart" in capfd.readouterr().err) == drifts


def test_images_without_joints_are_not_called_undecodable(here, capfd):
    for name, count in (("cam1", 3), ("cam2", 5)):
        write_images(Path(name), [f"{f}.png" for f in range(F)], (640, 480))
        write_openpose(f"{name}_json", range(count))
    converted("cam1_json", "cam2_json", views=[Path("cam1"), Path("cam2")])
    said = capfd.readouterr().err
    assert "view cam1: joints for 3 of 6 frames" in said
    assert "different lengths: cam1 3, cam2 5" in said
    assert "decoded" not in said


def test_joints_without_a_frame_in_common_are_said(here):
    write_openpose("cam1_json", range(3))
    write_openpose("cam2_json", range(5, 9))
    with pytest.raises(GeometryError, match="no frame number in common: cam1 0-2, cam2 5-8"):
        converted("cam1_json", "cam2_json", **SIZE)


def test_joints_numbered_from_one_are_shifted_where_all_are(here, capfd):
    for n in (1, 2):
        write_video(Path(f"cam{n}.avi"), F, (640, 480))
        write_openpose(f"cam{n}_json", range(1, F + 1))
    write_openpose("cam3_json", range(F))
    footage = [Path("cam1.avi"), Path("cam2.avi")]
    converted("cam1_json", "cam2_json", views=footage)
    assert "numbered from 1" in capfd.readouterr().err
    keypoints = read_keypoints(OUT)
    assert keypoints.frames.tolist() == list(range(F))
    np.testing.assert_allclose(keypoints.xy[0, 0], person("coco17", 1), atol=1e-3)
    with pytest.raises(InputError, match="are of frame 6 too; the joints seem to be numbered from 1"):
        converted("cam1_json", "cam3_json", views=footage)


def test_numbers_too_large_for_frames_are_refused(here):
    write_openpose("cam1_json", [10**19])
    with pytest.raises(InputError, match="too large for a frame"):
        converted("cam1_json", **SIZE)
    Path("cam.json").write_text(json.dumps([{"image_id": 10**19, "keypoints": [1, 2, 1] * 17}]))
    with pytest.raises(InputError, match="10000000000000000000 is no frame number"):
        converted("cam.json", **SIZE)


# Poses


def write_poses(images: list[str]) -> None:
    body = SKELETONS["h36m17"]
    xyz = np.arange(len(images))[:, None, None] + np.zeros((1, 17, 3))
    found = Predictions(
        tuple(images), np.ones((len(images), 4)), xyz, xyz[..., :2], np.ones(xyz.shape[:2]), body, "mm", {}
    )
    write_predictions(Path("pose.json"), found)


def rows_of(path: str) -> list[list[str]]:
    return [line.split("\t") for line in Path(path).read_text().splitlines()[6:]]


def test_poses_of_a_video_are_at_its_times(here):
    write_rated("v.avi", 25, 30)
    write_poses(["v.avi#20", "v.avi#0", "v.avi#10"])
    converted("pose.json", out=Path("walk.trc"))
    assert [row[:3] for row in rows_of("walk.trc")] == [
        ["1", "0.000000", "1"], ["2", "0.400000", "2"], ["3", "0.800000", "0"]
    ]  # fmt: skip
    converted("pose.json", out=Path("walk.csv"))
    assert [line.split(",")[-1] for line in Path("walk.csv").read_text().splitlines()] == ["fnum", "0", "10", "20"]
    write_poses(["v.avi#0", "v.avi#1", "v.avi#4"])
    converted("pose.json", out=Path("walk.trc"))
    assert [row[1] for row in rows_of("walk.trc")] == ["0.000000", "0.040000", "0.160000"]


def test_poses_of_several_videos_or_of_one_frame_twice_are_no_motion(here):
    for images, said in (
        (["a.avi#0", "b.avi#0"], "images of 2 videos or folders"),
        (["cam1/0.png", "cam2/0.png"], "images of 2 videos or folders"),
        (["a.avi#3", "a.avi#3"], "frame 3 is there twice"),
        (["cam1/a_3.png", "cam1/b_3.png"], "frame 3 is there twice"),
        (["cam1/3.png", f"cam1/{10**19}.png"], "too large for a frame"),
    ):
        write_poses(images)
        with pytest.raises(InputError, match=said):
            converted("pose.json", fps=25, out=Path("walk.trc"))


def test_images_of_a_folder_are_at_the_times_of_their_numbers(here):
    write_poses([f"cam1/img_{n:04d}.png" for n in (10, 1, 2, 11)])  # nobody was found from 3 to 9
    converted("pose.json", fps=25, out=Path("walk.trc"))
    assert [row[1] for row in rows_of("walk.trc")] == ["0.000000", "0.040000", "0.360000", "0.400000"]
    write_poses(["cam1/b.png", "cam1/a.png", "cam1/c.png"])
    converted("pose.json", fps=25, out=Path("walk.csv"))
    assert [line.split(",")[-1] for line in Path("walk.csv").read_text().splitlines()] == ["fnum", "0", "1", "2"]


def test_a_rate_that_the_video_contradicts_is_warned_of(here, capfd):
    write_rated("v.avi", 25)
    write_poses(["v.avi#0", "v.avi#1"])
    converted("pose.json", fps=60, out=Path("walk.trc"))
    assert "v.avi states 25 frames per second; times are by --fps" in capfd.readouterr().err
    converted("pose.json", fps=25.1, out=Path("walk.trc"))
    assert "frames per second" not in capfd.readouterr().err
