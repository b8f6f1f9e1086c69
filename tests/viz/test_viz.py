"""Pictures: they get written, at the size expected, and show what they are given."""

import subprocess
import sys
from collections.abc import Callable
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
from epitool.viz.colors import PEOPLE_COLORS, SIDE_COLORS, bone_side
from epitool.viz.overlay import draw_people, draw_pose, tile, write_name, write_video
from epitool.viz.plots import compare_learning_curves, plot_learning_curve
from epitool.viz.poses3d import plot_poses
from epitool.viz.rigs import plot_rig

H36M = skeleton("h36m17")
GREY = np.full((200, 160, 3), 128, np.uint8)


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


def test_other_people_have_one_colour_each():
    xy = some_joints() + np.array([[[0, 0]], [[20, 30]]])
    drawn = draw_people(GREY, xy, H36M, np.array([1, 2]))
    for color in PEOPLE_COLORS[:2]:
        assert (drawn == color).all(axis=-1).any()
    for color in (*SIDE_COLORS.values(), PEOPLE_COLORS[2]):
        assert not (drawn == color).all(axis=-1).any()
    np.testing.assert_array_equal(draw_people(GREY, np.full((1, 17, 2), np.nan), H36M, np.array([1])), GREY)


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
    assert png(plot_rig, two_cameras(unit), xyz, H36M, np.array(up, dtype=float)).shape[1] == 770


def test_rig_is_drawn_with_wild_joints_and_without_any(png: Callable[..., np.ndarray]):
    up, xyz = np.array([0.0, -1.0, 0.0]), poses(60)
    tame = png(plot_rig, two_cameras(), xyz, H36M, up)
    xyz[3, 5] = 1e7
    wild = png(plot_rig, two_cameras(), xyz, H36M, up)
    assert wild.shape[0] == pytest.approx(tame.shape[0], rel=0.1)
    png(plot_rig, two_cameras(), np.full((4, 17, 3), np.nan), H36M, up)


def test_poses_are_drawn_with_and_without_truth(png: Callable[..., np.ndarray]):
    predicted = poses(6)
    predicted[1, 3] = np.nan
    titles = [str(i) for i in range(6)]
    alone = png(plot_poses, predicted, H36M, titles)
    both = png(plot_poses, predicted, H36M, titles, truth=poses(6))
    assert alone.shape == both.shape == (737, 1485, 3)
    assert (alone != both).any()


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
    assert png(plot_learning_curve, log).shape == (594, 704, 3)


def test_learning_curves_of_runs_with_and_without_depth_are_compared(png: Callable[..., np.ndarray]):
    flat = [{"epoch": i, "val_2d_percent": 30.0 / i} for i in range(1, 4)]
    deep = [entry | {"val_nmpjpe": 300.0 / entry["epoch"]} for entry in flat]
    assert png(compare_learning_curves, {"self": deep, "2d": flat}).shape == (418, 990, 3)


def test_learning_curve_without_validation_is_drawn(png: Callable[..., np.ndarray]):
    png(plot_learning_curve, [{"epoch": i, "train_loss": 1.0, "val_nmpjpe": float("nan")} for i in range(3)])
