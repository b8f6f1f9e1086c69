"""Pictures: they get written, nothing in them is cropped, and they show what they are given."""

import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from epitool.camera import Camera, Rig
from epitool.errors import InputError
from epitool.skeleton import skeleton
from epitool.viz import poses3d
from epitool.viz.colors import OTHERS_COLORS, PEOPLE_COLORS, SIDE_COLORS, bone_side, colors_of
from epitool.viz.overlay import draw_people, draw_pose, legend, tile, write_name, write_tags, write_video
from epitool.viz.plots import compare_learning_curves, plot_learning_curve
from epitool.viz.poses3d import TRUTH_COLOR, plot_poses
from epitool.viz.rigs import plot_rig

H36M = skeleton("h36m17")
GREY = np.full((200, 160, 3), 128, np.uint8)
FIRST_TWO = ((31, 119, 180), (255, 127, 14))  # of Matplotlib's colours


def poses(count: int, scale: float = 400.0) -> np.ndarray:
    return np.random.default_rng(count).normal(0, scale, (count, 17, 3))


def two_cameras(unit: str = "mm") -> Rig:
    K = [[500, 0, 79.5], [0, 500, 99.5], [0, 0, 1]]
    turn, _ = cv2.Rodrigues(np.array([0.0, 0.5, 0.0]))
    cameras = [
        Camera("one", K, [], np.eye(3), [0, 0, 4000], (160, 200)),
        Camera("two", K, [], turn, [300, 0, 4500], (160, 200)),
    ]
    return Rig(tuple(cameras), unit, "none")


def some_joints() -> np.ndarray:
    return np.random.default_rng(0).uniform(30, 130, (17, 2))


def shows(picture: np.ndarray, *colors: tuple[int, int, int]) -> bool:
    """Whether a picture, in BGR and on white, has all these colours in it, and nothing at its edges."""
    edges = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    apart = [np.abs(picture[..., ::-1].astype(int) - color).max(axis=-1).min() for color in colors]
    return bool((edges == 255).all() and max(apart) < 8)


def test_overlay_leaves_the_image_alone_and_keeps_its_size():
    before = GREY.copy()
    drawn = draw_pose(GREY, some_joints(), H36M)
    np.testing.assert_array_equal(GREY, before)
    assert (drawn.shape, drawn.dtype) == (GREY.shape, np.uint8)
    assert (drawn != GREY).any()


def test_overlay_draws_only_near_the_bones():
    xy = np.full((17, 2), np.nan)
    knee, ankle = H36M.index("left_knee"), H36M.index("left_ankle")
    xy[knee], xy[ankle] = (40, 60), (100, 60)
    changed = np.argwhere((draw_pose(GREY, xy, H36M) != GREY).any(axis=-1))
    assert (changed.min(axis=0) >= [60 - 6, 40 - 6]).all()
    assert (changed.max(axis=0) <= [60 + 6, 100 + 6]).all()
    np.testing.assert_allclose(draw_pose(GREY, xy, H36M)[60, 70], SIDE_COLORS["left"], atol=30)  # a soft edge


def test_overlay_leaves_out_joints_that_are_missing_unsure_or_far_off():
    nothing = np.full((17, 2), np.nan)
    np.testing.assert_array_equal(draw_pose(GREY, nothing, H36M), GREY)
    np.testing.assert_array_equal(draw_pose(GREY, some_joints(), H36M, confidence=np.zeros(17)), GREY)
    np.testing.assert_array_equal(draw_pose(GREY, np.full((17, 2), 1e30), H36M), GREY)


def test_several_people_have_one_colour_each():
    xy = some_joints() + np.array([[[0, 0]], [[20, 30]]])
    drawn = draw_people(GREY, xy, H36M, OTHERS_COLORS[:2])
    for color in OTHERS_COLORS[:2]:
        assert (drawn == color).all(axis=-1).any()
    for color in (*SIDE_COLORS.values(), OTHERS_COLORS[2]):
        assert not (drawn == color).all(axis=-1).any()
    np.testing.assert_array_equal(draw_people(GREY, np.full((1, 17, 2), np.nan), H36M, OTHERS_COLORS[:1]), GREY)


@pytest.mark.parametrize(
    "seen_by",
    [  # after Machado, Oliveira and Fernandes 2009, linear RGB, severity 1
        np.eye(3),
        np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
        np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    ],
    ids=["usual sight", "protanopia", "deuteranopia"],
)
def test_colour_blind_people_can_tell_people_apart(seen_by: np.ndarray):
    """A difference of 15 in CIELAB is plain at a glance; the usual sets of six colours have pairs with less than 5."""
    linear = (np.array(PEOPLE_COLORS) / 255) ** 2.2
    seen = np.clip(linear @ seen_by.T, 0, 1) ** (1 / 2.2)
    lab = cv2.cvtColor(seen[None].astype(np.float32), cv2.COLOR_RGB2LAB)[0]
    apart = np.linalg.norm(lab[:, None] - lab, axis=-1)
    assert apart[np.triu_indices(len(lab), 1)].min() > 15


def test_colours_repeat_in_a_crowd():
    colors = colors_of(30)
    assert len(set(colors)) == len(PEOPLE_COLORS)
    assert all(one != other for one, other in pairwise(colors))


@pytest.mark.parametrize("corner", [(0, 0), (159, 0), (159, 199), (80, 100)])
def test_names_of_people_in_one_place_cover_neither_each_other_nor_leave_the_image(corner: tuple[int, int]):
    image, people = GREY.copy(), np.full((3, 17, 2), np.nan)
    people[:] = corner
    people[:, 1] = (-50, 90)  # outside
    write_tags(image, people, ["person1", "person2", "person3"], PEOPLE_COLORS[:3])
    areas = [(image == color).all(axis=-1) for color in PEOPLE_COLORS[:3]]
    assert min(area.sum() for area in areas) > 0.7 * max(area.sum() for area in areas) > 300
    np.testing.assert_array_equal(image[:20], GREY[:20])  # the view's name is there


def test_who_is_not_in_an_image_has_no_name_in_it():
    image = GREY.copy()
    absent = np.stack([np.full((17, 2), np.nan), np.full((17, 2), -30.0), np.full((17, 2), 1e30)])
    write_tags(image, absent, ["a", "b", "c"], PEOPLE_COLORS[:3])
    np.testing.assert_array_equal(image, GREY)


@pytest.mark.parametrize("count", [2, 30])
def test_a_legend_has_everyone_in_it_and_is_as_wide_as_told(count: int):
    strip = legend([f"person{i + 1}" for i in range(count)], colors_of(count), 400)
    assert strip.shape[1] == 400
    assert not strip[:, [0, -1]].any()
    for color in colors_of(count):
        assert (strip == color).all(axis=-1).any()
    dots, _ = cv2.connectedComponents((strip.max(axis=-1) != strip.min(axis=-1)).astype(np.uint8))
    assert dots - 1 == count


def test_a_name_is_written_whatever_its_letters():
    image = np.full((60, 300, 3), 128, np.uint8)
    write_name(image, "caméra 1  frame 7")
    assert (image > 200).any()
    assert (image < 50).any()


def test_lines_are_thicker_on_larger_images():
    xy = np.full((17, 2), np.nan)
    xy[H36M.index("left_knee")], xy[H36M.index("left_ankle")] = (40, 60), (100, 60)
    drawn = [draw_pose(np.zeros((side, side, 3), np.uint8), xy, H36M) for side in (200, 2000)]
    assert (drawn[1][:, 70].any(axis=-1)).sum() > (drawn[0][:, 70].any(axis=-1)).sum()


def test_a_bone_between_the_sides_is_in_the_middle():
    coco = skeleton("coco17")
    assert bone_side(coco, (coco.index("left_shoulder"), coco.index("right_shoulder"))) == "middle"
    assert bone_side(H36M, (H36M.index("pelvis"), H36M.index("right_hip"))) == "right"
    assert bone_side(H36M, (H36M.index("spine"), H36M.index("thorax"))) == "middle"


def test_tile_puts_images_in_rows_and_fits_other_sizes():
    black, large = np.zeros((50, 40, 3), np.uint8), np.full((200, 80, 3), 9, np.uint8)
    sheet = tile([black, black, large], columns=2)
    assert sheet.shape == (104, 84, 3)
    assert (sheet[60, 10] == 9).all()
    assert (sheet[60, 30] == 255).all()
    with pytest.raises(ValueError, match="no images"):
        tile([], columns=2)


def test_a_video_is_of_one_size(tmp_path: Path):
    """OpenCV would leave the other images out, and say nothing."""
    sizes = [(64, 64), (64, 64), (32, 64)]
    with pytest.raises(ValueError, match="image 2 of a video is 64x32, the first 64x64"):
        write_video(tmp_path / "a.mp4", (np.zeros((*size, 3), np.uint8) for size in sizes), 30.0)
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_fails_midway_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real, released = cv2.VideoWriter, []

    class Writer:  # OpenCV's own does not bear subclasses
        fourcc = real.fourcc

        def __init__(self) -> None:
            writer = real()
            self.open, self.isOpened, self.write = (getattr(writer, name) for name in ("open", "isOpened", "write"))

        def release(self) -> None:
            released.append(self)

    def images():
        yield GREY
        raise InputError("gone")

    monkeypatch.setattr(cv2, "VideoWriter", Writer)
    with pytest.raises(InputError, match="gone"):
        write_video(tmp_path / "a.mp4", images(), 30.0)
    assert len(released) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit of a file's size")
def test_a_video_on_a_full_disk_is_no_video(tmp_path: Path):
    code = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "import numpy as np; from pathlib import Path; from epitool.viz.overlay import write_video\n"
        "noise = np.random.default_rng(0).integers(0, 255, (9, 512, 512, 3), dtype=np.uint8)\n"
        "write_video(Path('a.mp4'), noise, 30.0)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert "InputError: cannot write a.mp4" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("unit", "up"), [("mm", [0, 0, 1]), ("arbitrary", [0, -1, 0]), ("mm", [1, 0, 0])])
def test_rig_is_drawn_whatever_is_up(png: Callable[..., np.ndarray], unit: str, up: list[int]):
    xyz = poses(6)
    xyz[2, 4] = np.nan
    assert shows(png(plot_rig, two_cameras(unit), [xyz], H36M, np.array(up, dtype=float)), *SIDE_COLORS.values())


def test_rig_is_drawn_with_wild_joints_and_without_any(png: Callable[..., np.ndarray]):
    up, xyz = np.array([0.0, -1.0, 0.0]), poses(60)
    tame = png(plot_rig, two_cameras(), [xyz], H36M, up)
    xyz[3, 5] = 1e7
    wild = png(plot_rig, two_cameras(), [xyz], H36M, up)
    assert wild.shape[0] == pytest.approx(tame.shape[0], rel=0.1)
    png(plot_rig, two_cameras(), [np.full((4, 17, 3), np.nan)], H36M, up)


def test_rig_is_drawn_with_everyone(png: Callable[..., np.ndarray]):
    up, xyz = np.array([0.0, -1.0, 0.0]), poses(6)
    one, two = (
        png(plot_rig, two_cameras(), people, H36M, up) for people in ([xyz], [xyz, np.add(xyz, (700.0, 0.0, 700.0))])
    )
    drawn = [(np.abs(picture.astype(int) - SIDE_COLORS["left"]) < 40).all(axis=-1).sum() for picture in (one, two)]
    assert drawn[1] > 1.3 * drawn[0] > 0


def test_poses_are_drawn_with_and_without_truth(png: Callable[..., np.ndarray]):
    predicted = poses(2)
    predicted[1, 3] = np.nan
    grey = np.round(255 * np.array(TRUTH_COLOR))
    titles = ["one", "two"]
    alone = png(plot_poses, predicted, H36M, titles)
    both = png(plot_poses, predicted, H36M, titles, truth=poses(2))
    assert shows(alone, *SIDE_COLORS.values())
    assert shows(both, *SIDE_COLORS.values())
    before, after = ((picture == grey).all(axis=-1).sum() for picture in (alone, both))
    assert after > 5 * before + 100


def test_titles_of_poses_are_apart_from_the_title_of_all(monkeypatch: pytest.MonkeyPatch):
    drawn: list[Figure] = []
    monkeypatch.setattr(poses3d, "save_figure", lambda figure, _: drawn.append(figure))
    tall = poses(7) * [0.7, 1.0, 0.9]
    plot_poses(Path("a.png"), tall, H36M, [f"cam01, frame {i}" for i in range(7)])
    FigureCanvasAgg(drawn[0]).draw()
    above = drawn[0].texts[-1].get_window_extent().y0
    assert all(axes.title.get_window_extent().y1 < above for axes in drawn[0].axes)


def test_one_pose_in_arbitrary_units_is_drawn(png: Callable[..., np.ndarray]):
    png(plot_poses, poses(1, 0.3), H36M, ["only"], unit="arbitrary")


def test_no_poses_is_a_mistake(tmp_path: Path):
    with pytest.raises(ValueError, match="no poses"):
        plot_poses(tmp_path / "none.png", poses(0), H36M, [])


@pytest.mark.parametrize("epochs", [1, 40])
def test_learning_curve_is_drawn(png: Callable[..., np.ndarray], epochs: int):
    log = [{"epoch": i, "train_loss": 1 / i, "val_nmpjpe": 100 / i} for i in range(1, epochs + 1)]
    hidden = ["right"] * (epochs == 1)  # the star of the best epoch covers a single error
    colors = [color for side, color in SIDE_COLORS.items() if side not in ("middle", *hidden)]
    assert shows(png(plot_learning_curve, log), *colors)


def test_learning_curves_of_runs_with_and_without_depth_are_compared(png: Callable[..., np.ndarray]):
    flat = [{"epoch": i, "val_2d_percent": 30.0 / i} for i in range(1, 4)]
    deep = [entry | {"val_nmpjpe": 300.0 / entry["epoch"]} for entry in flat]
    assert shows(png(compare_learning_curves, {"self": deep, "2d": flat}), *FIRST_TWO)


def test_learning_curve_without_validation_is_drawn(png: Callable[..., np.ndarray]):
    png(plot_learning_curve, [{"epoch": i, "train_loss": 1.0, "val_nmpjpe": float("nan")} for i in range(3)])
