"""People of many shapes from the parametric body Anny (Apache-2.0, assets CC0): bones, skin and joints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epitool.errors import UsageError
from epitool.skeleton import skeleton

Array = NDArray[np.float64]
Floats = NDArray[np.float32]

# Ranges for adults; all parameters of the model run from 0 to 1, its age from newborn to old.
_SHAPES = {
    "gender": (0.0, 1.0),
    "age": (0.55, 0.85),
    "muscle": (0.3, 0.8),
    "weight": (0.3, 0.7),
    "height": (0.3, 0.7),
    "proportions": (0.3, 0.7),
}
# Joints that lie at the head (start) of a bone.
_HEADS = {
    "hip": "upperleg01", "knee": "lowerleg01", "ankle": "foot", "shoulder": "upperarm01", "elbow": "lowerarm01",
    "wrist": "wrist",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Body:
    """Person at rest, world axes: mm, z up, facing -y, left along +x.

    Attributes:
        vertices: Vertices, `(V, 3)`.
        triangles: Triangles, `(T, 3)`, counter-clockwise from outside.
        weights: How much each bone moves each vertex, `(V, B)`.
        heads: Heads (start points) of the bones, `(B, 3)`.
        parents: Index of each bone's parent, -1 at the root; parents come first.
        bones: Names of the bones.
        h36m17: Each joint as weights of vertices and of bone heads, `(17, V + B)`.
        coco17: Likewise, for the joints of coco17.
    """

    vertices: Array
    triangles: NDArray[np.int64]
    weights: Floats
    heads: Array
    parents: tuple[int, ...]
    bones: tuple[str, ...]
    h36m17: Array
    coco17: Array

    def joint(self, name: str) -> Array:
        """Return the position of a joint of h36m17 at rest, `(3,)`."""
        row = self.h36m17[skeleton("h36m17").index(name)]
        return np.asarray(row @ np.concatenate([self.vertices, self.heads]))


class BodyMaker:
    """Factory of people; loading the model takes seconds, and the first time minutes."""

    def __init__(self) -> None:
        """Load the model.

        Raises:
            UsageError: It is not installed.
        """
        try:
            import anny
        except ImportError:
            raise UsageError("rendered people need Anny; install it with pip install 'epitool[synth]'") from None
        self._model: Any = anny.Anny(skinning_method="lbs")
        self._regressor: Any = anny.KeypointsRegressor.coco(self._model)

    def body(self, seed: int) -> Body:
        """Return an adult whose shape is drawn by the seed."""
        rng = np.random.default_rng(seed)
        shape = {name: float(rng.uniform(*bounds)) for name, bounds in _SHAPES.items()}
        found = self._model(phenotype_kwargs=shape)
        vertices = 1000 * found["rest_vertices"][0].numpy().astype(np.float64)
        heads = 1000 * found["rest_bone_heads"][0].numpy().astype(np.float64)
        bones = tuple(self._model.bone_labels)
        regressor = self._regressor.regression_weights.numpy().astype(np.float64)
        coco = [self._regressor.labels.index(joint) for joint in skeleton("coco17").joints]
        rows = np.concatenate([regressor, np.zeros((len(regressor), len(bones)))], axis=1)
        return Body(
            vertices=vertices,
            triangles=self._model.get_triangular_faces().numpy(),
            weights=_dense(self._model.vertex_bone_weights, self._model.vertex_bone_indices, len(bones)),
            heads=heads,
            parents=tuple(int(parent) for parent in self._model.bone_parents),
            bones=bones,
            h36m17=_h36m_rows(bones, vertices, rows[self._regressor.labels.index("nose")]),
            coco17=rows[coco],
        )


def _dense(weights: Any, indices: Any, bones: int) -> Floats:
    out = np.zeros((len(weights), bones), np.float32)
    np.add.at(out, (np.arange(len(weights))[:, None], indices.numpy()), weights.numpy().astype(np.float32))
    return out


def _h36m_rows(bones: tuple[str, ...], vertices: Array, nose: Array) -> Array:
    """Return the weights of h36m17 joints: bone heads, the nose, and the highest vertex for the crown."""
    body, count = skeleton("h36m17"), len(vertices)
    rows = np.zeros((len(body), count + len(bones)))
    for side in ("left", "right"):
        for joint, bone in _HEADS.items():
            rows[body.index(f"{side}_{joint}"), count + bones.index(f"{bone}.{side[0].upper()}")] = 1
    rows[body.index("spine"), count + bones.index("spine03")] = 1
    shoulders = 0.5 * (rows[body.index("left_shoulder")] + rows[body.index("right_shoulder")])
    rows[body.index("thorax")] = 0.5 * shoulders  # between the shoulders and the neck
    rows[body.index("thorax"), count + bones.index("neck01")] = 0.5
    rows[body.index("pelvis")] = 0.5 * (rows[body.index("left_hip")] + rows[body.index("right_hip")])
    rows[body.index("neck_nose")] = nose
    rows[body.index("head_top"), int(vertices[:, 2].argmax())] = 1
    return rows
