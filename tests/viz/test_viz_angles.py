"""The diagram of joint angles: both sides in one panel, and no line where nothing was measured."""

import numpy as np
from matplotlib.figure import Figure

from epitool.viz import angles


def drawn(monkeypatch, seconds, curves):
    kept = []
    monkeypatch.setattr(angles, "save_figure", lambda figure, path: kept.append(figure))
    angles.plot_angles("angles.png", np.asarray(seconds, dtype=float), curves)
    (figure,) = kept
    assert isinstance(figure, Figure)
    return {axes.get_title(loc="left"): axes.lines for axes in figure.axes if axes.get_visible()}


def test_both_sides_share_a_panel(monkeypatch):
    ramp = np.arange(4.0)
    curves = {"trunk_rotation": ramp, "right_knee_flexion": ramp + 1, "left_knee_flexion": ramp + 2}
    panels = drawn(monkeypatch, ramp, curves)
    assert list(panels) == ["trunk rotation (to the left)", "knee flexion (bent)"]
    lines = panels["knee flexion (bent)"]
    np.testing.assert_array_equal([lines[0].get_ydata(), lines[2].get_ydata()], [ramp + 1, ramp + 2])
    assert lines[0].get_color() != lines[2].get_color()
    assert lines[0].get_linestyle() != lines[2].get_linestyle()


def test_lines_end_where_frames_are_missing_and_single_frames_are_dots(monkeypatch):
    (lines,) = drawn(
        monkeypatch, [0, 1, 2, 9, 10, 11], {"left_knee_flexion": np.array([1, np.nan, 2, 3, 4, 5.0])}
    ).values()
    np.testing.assert_array_equal(lines[0].get_ydata(), [1, np.nan, 2, np.nan, 3, 4, 5])
    assert lines[1].get_xdata().tolist() == [0, 2]
