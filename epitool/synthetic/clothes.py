"""Colours of skin, hair and clothes for the vertices of a body; lengths of sleeves and legs, and patterns, vary."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

from epitool.synthetic.anny_body import Body

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
_SKIN_LIGHT, _SKIN_DARK = np.array([236.0, 196.0, 170.0]), np.array([92.0, 58.0, 42.0])
_HAIR = np.array([[35, 28, 24], [70, 46, 30], [120, 86, 52], [190, 160, 110], [150, 150, 150]], float)
_SHIRT = ("spine", "clavicle", "shoulder", "breast", "upperarm01")
_SLEEVES = ((), ("upperarm",), ("upperarm", "lowerarm"))
_TROUSERS = ("root", "pelvis", "spine05", "upperleg01")
_LEGS = ((), ("upperleg",), ("upperleg", "lowerleg"))
_SHOES = ("foot", "toe")


def dressed(body: Body, seed: int) -> Floats:
    """Return the colours of the vertices `(V, 3)`, 0 to 255; left and right are dressed alike."""
    rng = np.random.default_rng(seed)
    names = np.array(body.bones)[body.weights.argmax(axis=1)]
    colors = np.tile(_SKIN_LIGHT + rng.uniform() * (_SKIN_DARK - _SKIN_LIGHT), (len(names), 1))
    colors[_hair(body, names)] = _HAIR[rng.integers(len(_HAIR))] * rng.uniform(0.8, 1.2)
    colors[np.char.startswith(names, "eye")] = rng.uniform(20, 70)
    shirt, trousers = (_cloth(body.vertices, rng) for _ in range(2))
    _put(colors, names, _SHIRT + _SLEEVES[rng.integers(3)], shirt)
    _put(colors, names, _TROUSERS + _LEGS[rng.integers(1, 3)], trousers)
    _put(colors, names, _SHOES, np.tile(_color(rng), (len(names), 1)))
    colors += rng.normal(0, 4, (len(colors), 1))
    return np.clip(colors, 0, 255).astype(np.float32)


def _hair(body: Body, names: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Return which vertices of the head have hair: those above the eyes or behind the ears."""
    head = names == "head"
    eyes = body.heads[body.bones.index("eye.L")]
    crown = body.vertices[:, 2].max()
    y, z = body.vertices[:, 1], body.vertices[:, 2]
    above = z > eyes[2] + 0.42 * (crown - eyes[2])
    behind = (y > eyes[1] + 0.62 * (crown - eyes[2])) & (z > eyes[2] - 0.6 * (crown - eyes[2]))
    return head & (above | behind)


def _put(colors: Array, names: NDArray[np.str_], bones: tuple[str, ...], cloth: Array) -> None:
    covered = np.any([np.char.startswith(names, bone) for bone in bones], axis=0)
    colors[covered] = cloth[covered]


def _cloth(vertices: Array, rng: np.random.Generator) -> Array:
    """Return a plain, striped or checked cloth, `(V, 3)`.

    Stripes run across or along the body and are 40 to 120 mm wide, wider than the triangles of the mesh.
    """
    first, second, width = _color(rng), _color(rng), rng.uniform(40, 120)
    kind = rng.integers(4)
    across, along = (np.floor(vertices[:, axis] / width) % 2 == 0 for axis in (2, 0))
    other = (np.zeros(len(vertices), bool), across, along, across ^ along)[kind]
    cloth: Array = np.where(other[:, None], second, first)
    return cloth


def _color(rng: np.random.Generator) -> Array:
    shade = colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(0, 0.85), rng.uniform(0.12, 0.95))
    return 255 * np.array(shade, dtype=np.float64)
