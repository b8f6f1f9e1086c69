"""`epitool pss-fit`: clusters a reference set of poses, by which `evaluate` scores the structure of predictions."""

from __future__ import annotations

from pathlib import Path

from epitool.camera import Array
from epitool.console import Summary, say, warn
from epitool.errors import GeometryError
from epitool.io.labels import read_labels
from epitool.io.npz import read_pose_arrays, write_pss
from epitool.pss import PssModel, fit_pss
from epitool.skeleton import Skeleton
from epitool.stages.pairing import part_of


def run(*, poses: Path, ks: tuple[int, ...], out: Path, seed: int, split: str) -> Summary:
    """Fits the clusters of the Pose Structure Score and writes `pss.npz`.

    Args:
        poses: `labels.h5`, whose poses are taken as each of its cameras sees them; or poses `(N, J, 3)` in a `.npz` or
            `.npy`, taken as they are.
        ks: Numbers of clusters.
        out: Where `pss.npz` goes.
        seed: Seed of k-means.
        split: Which part to use: "train", "val", "test" or "all".

    Raises:
        InputError: The poses cannot be read.
        GeometryError: There are too few complete poses.
        UsageError: A k is less than two, or the split is none of the four.
    """
    reference, skeleton, words = _reference(poses, split)
    say(f"clustering {len(reference)} poses: {words}")
    try:
        model = fit_pss(reference, skeleton, ks, seed, words)
    except GeometryError as error:
        raise GeometryError(f"{poses}: {error}") from None
    for codebook in model.codebooks:
        if codebook.k != codebook.asked:
            warn(f"too few distinct poses for k = {codebook.asked}: {codebook.k} clusters, half their number")
    write_pss(out, model)
    return _summary(model, out)


def _reference(poses: Path, split: str) -> tuple[Array, Skeleton, str]:
    """Poses `(N, J, 3)`, their skeleton, and what they are in words."""
    if poses.suffix.lower() in (".npz", ".npy"):
        arrays = read_pose_arrays(poses)
        say(f"{poses}: taken as they are; predictions are in a camera's axes (x right, y down), so these must be too")
        part = arrays.xyz[part_of(len(arrays.xyz), split)]
        return part, arrays.skeleton, f"{poses.name}, split {split}, axes as given"
    labels = read_labels(poses)
    part = labels.in_cameras[part_of(len(labels.poses.frames), split)]
    views = part.shape[1]
    words = f"{poses.name} (recording {labels.recording_id}), split {split}, in the axes of {views} cameras"
    return part.reshape(-1, *part.shape[2:]), labels.poses.skeleton, words


def _summary(model: PssModel, out: Path) -> Summary:
    made = ", ".join(str(codebook.k) for codebook in model.codebooks)
    text = f"{out}: {made} clusters of {model.counted} poses ({model.skipped} skipped), {len(model.skeleton)} joints"
    values = {
        "out": str(out),
        "clusters": {str(codebook.asked): codebook.k for codebook in model.codebooks},
        "counted": model.counted,
        "skipped": model.skipped,
        "fitted_on": model.fitted_on,
    }
    return Summary(text, values)
