"""A camera that hangs from the ceiling: nothing special."""

from dataclasses import replace

import numpy as np
import pytest
from outcomes import detected, scene, solved, worst_deg


@pytest.mark.parametrize("views", [2, 4])
def test_it_is_found(views):
    rig = scene().rig
    half_turn = np.diag([-1.0, -1.0, 1.0])
    hanging = replace(rig.cameras[1], R=half_turn @ rig.cameras[1].R, t=half_turn @ rig.cameras[1].t)
    labels = scene(views, rig=replace(rig, cameras=(rig.cameras[0], hanging, *rig.cameras[2:])))
    found = solved(detected(labels), labels.rig)
    assert found.verdict.level == "pass"
    assert worst_deg(found, labels.rig) < 1
