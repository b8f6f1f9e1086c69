"""Distances between predicted and true poses: MPJPE, NMPJPE, PMPJPE, PCK, NPCK and AUC.

Every function takes poses `(..., J, 3)` and returns one value per pose, `(...)`. A joint that is NaN in the prediction
or in the truth is left out of its pose's mean; a pose without a defined value gives NaN. The root counts as a joint
like the others, as is usual on Human3.6M, so root-relative errors include its zero. The value of a set is the mean over
its poses, not over its joints.

Two protocols give numbers that must not be mixed. "standard" follows the definition of each metric. "epipolarpose" is
what the published EpipolarPose evaluation computes: it moves the root of the Procrustes-aligned pose to the true root
again (PMPJPE), and scales by the factor of the Procrustes fit (NMPJPE, NPCK).
"""

from epitool.metrics.align import (
    Similarity,
    missing_joints,
    procrustes,
    procrustes_align,
    root_centered,
)
from epitool.metrics.bootstrap import LEAST_SEQUENCES, Bootstrap, Interval
from epitool.metrics.paired import ROOT, SCALE, SIMILARITY
from epitool.metrics.pose import (
    PCK_MM,
    PROTOCOLS,
    SetErrors,
    auc,
    axis_errors,
    joint_differences,
    joint_errors,
    mpjpe,
    nmpjpe,
    npck,
    pck,
    pmpjpe,
    set_errors,
)
from epitool.metrics.record import DISTANCES, Mean, Measured, Metric, Ruler, mean_of

__all__ = [
    "DISTANCES",
    "LEAST_SEQUENCES",
    "PCK_MM",
    "PROTOCOLS",
    "ROOT",
    "SCALE",
    "SIMILARITY",
    "Bootstrap",
    "Interval",
    "Mean",
    "Measured",
    "Metric",
    "Ruler",
    "SetErrors",
    "Similarity",
    "auc",
    "axis_errors",
    "joint_differences",
    "joint_errors",
    "mean_of",
    "missing_joints",
    "mpjpe",
    "nmpjpe",
    "npck",
    "pck",
    "pmpjpe",
    "procrustes",
    "procrustes_align",
    "root_centered",
    "set_errors",
]
