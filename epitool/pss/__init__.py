"""Pose Structure Score: whether a predicted pose falls into the same cluster of poses as the true one.

It is defined in section 3.4 of the paper. Every pose, predicted or true, is centred on its root and scaled so that its
flattened vector has length one. The score is 1 if both are nearest to the same one of k cluster centres, which k-means
found in a reference set of true poses. Unless yaw is removed, poses keep their orientation: reference, prediction and
truth must be in the same kind of axes (a camera's), or the score is meaningless.
"""

from epitool.pss.alignment import AXES, Yaw, find_up, yaw_of
from epitool.pss.codebook import NORMALIZATION, Codebook, PssModel, assign, normalized, pss
from epitool.pss.fitting import CONSENSUS_RUNS, N_INIT, count_distinct, fit_pss, flat_poses

__all__ = [
    "AXES",
    "CONSENSUS_RUNS",
    "NORMALIZATION",
    "N_INIT",
    "Codebook",
    "PssModel",
    "Yaw",
    "assign",
    "count_distinct",
    "find_up",
    "fit_pss",
    "flat_poses",
    "normalized",
    "pss",
    "yaw_of",
]
