"""Prints by how many degrees each pair of cameras differs between two camera files of the same views.

Usage: python examples/compare_cameras.py cameras.toml Calib.qca.txt
"""

import sys
from pathlib import Path

from epitool.geometry.calibration.compare import compare_rigs
from epitool.io.cameras import read_rig

for pair in compare_rigs(*(read_rig(Path(name)) for name in sys.argv[1:3])):
    print(f"{' - '.join(pair.views)}: rotation {pair.rotation_deg:.2f}, direction {pair.direction_deg:.2f}")
