"""Pictures of a calibration: written, sized as expected, and showing what they are given."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import exact_labels
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from epitool.camera import Camera
from epitool.labels import Labels
from epitool.skeleton import skeleton
from epitool.viz import geometry, rigs
from epitool.viz.geometry import plot_epipolar_lines, plot_residuals
from epitool.viz.rigs import plot_rig

H36M = skeleton("h36m17")
GREY = np.full((384, 384, 3), 128, np.uint8)


def labels_with(error: np.ndarray) -> Labels:
    return replace(exact_labels(len(error)), reprojection_px=error)


def pair(labels: Labels, distortion: tuple[float, ...] = ()) -> tuple[Camera, Camera]:
    first, second = (replace(camera, distortion=np.array(distortion)) for camera in labels.rig.cameras[:2])
    return first, second


def color_share(image: np.ndarray, rgb: tuple[int, int, int]) -> float:
    return float((np.abs(image.astype(int) - rgb[::-1]).max(axis=-1) < 12).mean())


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """What is drawn, laid out, in place of files."""
    drawn: list[Figure] = []

    def keep(figure: Figure, path: Path) -> None:
        FigureCanvasAgg(figure).draw()
        drawn.append(figure)

    for module in (geometry, rigs):
        monkeypatch.setattr(module, "save_figure", keep)
    return drawn


def test_lines_of_exact_joints_run_through_them(png: Callable[..., np.ndarray]):
    labels = exact_labels(10)
    exact = png(plot_epipolar_lines, pair(labels), (GREY, GREY), labels.keypoints.xy[3, :2], H36M)
    moved = labels.keypoints.xy[3, :2].copy()
    moved[1, H36M.index("left_wrist")] += 60
    assert exact.shape == png(plot_epipolar_lines, pair(labels), (GREY, GREY), moved, H36M).shape
    assert color_share(exact, (230, 159, 0)) > 0.0001


def test_titles_over_upright_images_are_all_in_the_picture(figures: list[Figure]):
    """One of them was cut off where the person fills an upright image more than the other."""
    upright = np.full((1920, 1080, 3), 128, np.uint8)
    labels = exact_labels(10)
    cameras = [replace(camera, image_size=(1080, 1920)) for camera in labels.rig.cameras[:2]]
    xy = np.random.default_rng(0).uniform([400, 630], [700, 1290], (2, 17, 2))
    plot_epipolar_lines(Path("a.png"), (cameras[0], cameras[1]), (upright, upright), xy, H36M)
    (figure,) = figures
    for axes in figure.axes:
        title = axes.title.get_window_extent()
        assert title.y1 <= figure.bbox.height
        assert title.y0 >= axes.get_window_extent().y1


def test_lines_allow_for_distortion_and_images_of_other_sizes(figures: list[Figure]):
    labels = exact_labels(10)
    cameras = pair(labels, (-0.2, 0.05, 0.0, 0.0))
    wide = np.full((200, 384, 3), 90, np.uint8)
    xy = np.stack([camera.project(labels.poses.xyz[3]) for camera in cameras])
    plot_epipolar_lines(Path("a.png"), cameras, (GREY, wide), xy, H36M)
    assert all(axes.get_title().endswith("median distance of all joints: 0.0 px") for axes in figures[0].axes)


def test_joints_that_a_view_lacks_have_no_line(png: Callable[..., np.ndarray]):
    labels = exact_labels(10)
    xy = labels.keypoints.xy[3, :2].copy()
    xy[0, :] = np.nan
    nobody = png(plot_epipolar_lines, pair(labels), (GREY, GREY), xy, H36M)
    assert color_share(nobody, (230, 159, 0)) == 0
    xy[0, H36M.index("left_ankle")] = labels.keypoints.xy[3, 0, H36M.index("left_ankle")]
    assert color_share(png(plot_epipolar_lines, pair(labels), (GREY, GREY), xy, H36M), (230, 159, 0)) > 0


def test_residuals_are_drawn_where_some_are_unseen_or_huge(png: Callable[..., np.ndarray]):
    error = np.random.default_rng(0).gamma(2, 2, (30, 4, 17))
    usual = png(plot_residuals, labels_with(error))
    error[:, 1, 4] = np.nan
    error[:, 2, 5] = 1e5
    assert png(plot_residuals, labels_with(error)).shape[0] == usual.shape[0]


def test_residuals_are_drawn_where_all_are_zero_or_unseen(png: Callable[..., np.ndarray]):
    png(plot_residuals, labels_with(np.zeros((4, 4, 17))))
    png(plot_residuals, labels_with(np.full((4, 4, 17), np.nan)))


def test_one_view_that_is_bad_does_not_hide_the_others(png: Callable[..., np.ndarray]):
    error = np.random.default_rng(0).gamma(2, 2, (30, 4, 17))
    error[:, 0] *= 1000
    picture = png(plot_residuals, labels_with(error))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100


def test_a_rig_whose_vertical_is_unknown_says_so(png: Callable[..., np.ndarray]):
    labels = exact_labels(20)
    known = png(plot_rig, labels.rig, [labels.poses.xyz], H36M, np.array([0.0, 0.0, 1.0]))
    unknown = png(plot_rig, labels.rig, [labels.poses.xyz], H36M)
    brown = (160, 82, 45)
    assert color_share(known, brown) > color_share(unknown, brown)


def test_names_of_cameras_that_are_close_do_not_cover_each_other(figures: list[Figure]):
    labels = exact_labels(20)
    first = labels.rig.cameras[0]
    close = [replace(first, name=f"near{i}", t=first.t + np.array([150.0 * i, 0, 0])) for i in range(4)]
    rig = replace(labels.rig, cameras=(*labels.rig.cameras, *close))
    plot_rig(Path("a.png"), rig, [labels.poses.xyz], H36M)
    for axes in figures[0].axes:
        written = [Text.get_window_extent(text) for text in axes.texts]  # an annotation's own has its leader in it
        assert len(written) == len(rig)
        assert not any(one.overlaps(other) for one, other in itertools.combinations(written, 2))


def test_the_path_of_a_skeleton_without_pelvis_is_that_of_its_hips(figures: list[Figure]):
    labels = exact_labels(20)
    coco = skeleton("coco17")
    names = [name if name in H36M.joints else "neck_nose" for name in coco.joints]
    xyz = labels.poses.xyz[:, [H36M.index(name) for name in names]]
    plot_rig(Path("a.png"), labels.rig, [xyz], coco, np.array([0.0, 0.0, 1.0]))
    hips = xyz[:, [coco.index("left_hip"), coco.index("right_hip")]].mean(axis=1) / 1000
    for axes, across in zip(figures[0].axes, (1, 2), strict=True):
        (path,) = (line for line in axes.lines if line.get_linestyle() == ":")
        np.testing.assert_allclose(path.get_xydata(), hips[:, [0, across]], atol=1e-9)
