"""A view whose images are a part of what was recorded, without lens files: its lens does not look at their middle."""

from dataclasses import replace

import numpy as np
import pytest
from outcomes import detected, scene

from epitool.stages.calibrate.inputs import doubts_of_shapes


def cropped(keypoints, view, left, top, width, height):
    sizes, xy = keypoints.image_size.copy(), keypoints.xy.copy()
    sizes[view], xy[:, view] = (width, height), xy[:, view] - [left, top]
    outside = ~((xy[:, view] >= 0) & (xy[:, view] <= [width - 1, height - 1])).all(axis=-1)
    xy[:, view][outside] = np.nan
    return replace(keypoints, xy=xy, image_size=sizes)


@pytest.mark.parametrize("box", [(0, 0, 300, 384), (84, 0, 300, 384), (0, 80, 384, 304), (40, 80, 300, 180)])
def test_a_part_of_the_images_is_named(box):
    ((level, text),) = doubts_of_shapes(cropped(detected(scene()), 1, *box))
    assert level == "warn"
    assert f"the images of cam2 ({box[2]}x{box[3]}) have a shape that looks cropped" in text


@pytest.mark.parametrize(
    "sizes",
    [
        [(1920, 1080), (1080, 1920)],  # a phone upright beside one that lies
        [(1080, 1920), (1088, 1920)],  # as coders pad
        [(1920, 1080), (1280, 720), (640, 480), (1032, 776)],
        [(1000, 1002), (1000, 1000)],  # Human3.6M
        [(0, 0), (1920, 1080)],  # images of differing sizes
        [(4704, 3456), (2336, 1728)],
    ],
)
def test_images_as_cameras_record_them_are_not_doubted(sizes):
    keypoints = detected(scene(len(sizes)))
    assert doubts_of_shapes(replace(keypoints, image_size=np.array(sizes))) == []
