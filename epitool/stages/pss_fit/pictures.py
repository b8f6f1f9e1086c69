"""`epitool pss-fit --pictures`: draws the paper's Figures 5 and 6 for the fitted clusters."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from epitool.camera import Array
from epitool.console import say
from epitool.errors import InputError
from epitool.pss import PssModel, assign, find_up, flat_poses
from epitool.pss.embedding import embed
from epitool.skeleton import Skeleton
from epitool.viz.pss import plot_pss_centres, plot_pss_plane

_EMBEDDED = 4000  # largest number of poses in the plane, for which t-SNE takes about 20 s


def draw(folder: Path, reference: Array, model: PssModel) -> None:
    """Draw `pss-centres-K.png` and `pss-tsne-K.png` for each k.

    Args:
        folder: Folder for the pictures.
        reference: The poses that the clusters were made from, `(N, J, 3)`.
        model: The clusters.

    Raises:
        InputError: The folder cannot be written to.
    """
    root, yaw = model.skeleton.root, model.codebooks[0].yaw
    known = reference[np.isfinite(reference).all(axis=(1, 2))]
    rng = np.random.default_rng(model.seed)
    sample = known[np.sort(rng.choice(len(known), min(_EMBEDDED, len(known)), replace=False))]
    say(f"drawing {len(sample)} poses in a plane")
    flat = flat_poses(sample, root, yaw)
    places = embed(flat, model.seed)
    for codebook in model.codebooks:
        shares = np.bincount(assign(known, codebook, root), minlength=codebook.k) / len(known)
        centres = turn_to_camera_axes(codebook.centers, known, model.skeleton)
        plot_pss_centres(folder / f"pss-centres-{codebook.asked}.png", centres, model.skeleton, shares)
        clusters = assign(sample, codebook, root)
        plot_pss_plane(folder / f"pss-tsne-{codebook.asked}.png", places, clusters, codebook.k)


def turn_to_camera_axes(poses: Array, reference: Array, skeleton: Skeleton) -> Array:
    """Return poses turned so that y points down; the reference poses show which axis is vertical.

    The poses are returned unchanged if the vertical cannot be found.
    """
    try:
        axis, sign = find_up(reference, skeleton)
    except InputError:
        return poses
    a, b = [i for i in range(3) if i != axis]
    handed = -sign if axis == 1 else sign  # keeps the determinant positive, so that poses are not mirrored
    return np.stack([poses[..., a], -sign * poses[..., axis], handed * poses[..., b]], axis=-1)
