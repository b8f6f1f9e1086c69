"""Distances between predicted and true poses: MPJPE, NMPJPE, PMPJPE, PCK, NPCK, AUC and NAUC.

Every function takes poses `(..., J, 3)` and gives one value a pose, `(...)`. A joint that is NaN in the prediction or
in the truth is left out of its pose's mean; a pose that determines no value gives NaN. The root counts as a joint like
the others, as is usual on Human3.6M, so root-relative errors include its zero. The value of a set is the mean over its
poses, not over its joints.

Two protocols give numbers that must not be mixed. "standard" is the definition of each metric. "epipolarpose" is what
the published EpipolarPose evaluation computes: it puts the root of the Procrustes-aligned pose on the true root again
(PMPJPE), and scales by the factor of the Procrustes fit (NMPJPE, NPCK, NAUC).
"""

from epitool.metrics.align import (
    Similarity,
    least_squares_scale,
    missing_joints,
    procrustes,
    procrustes_align,
    root_centered,
)
from epitool.metrics.one_pass import ROOT, SCALE, SIMILARITY
from epitool.metrics.pose import (
    PCK_MM,
    PROTOCOLS,
    SetErrors,
    auc,
    axis_errors,
    joint_differences,
    joint_errors,
    mpjpe,
    nauc,
    nmpjpe,
    npck,
    pck,
    pmpjpe,
    set_errors,
)
from epitool.metrics.record import Metric, measure, metric_of, not_applicable

__all__ = [
    "PCK_MM",
    "PROTOCOLS",
    "ROOT",
    "SCALE",
    "SIMILARITY",
    "Metric",
    "SetErrors",
    "Similarity",
    "auc",
    "axis_errors",
    "joint_differences",
    "joint_errors",
    "least_squares_scale",
    "measure",
    "metric_of",
    "missing_joints",
    "mpjpe",
    "nauc",
    "nmpjpe",
    "not_applicable",
    "npck",
    "pck",
    "pmpjpe",
    "procrustes",
    "procrustes_align",
    "root_centered",
    "set_errors",
]
