"""Tapered limbs, trunks and ellipsoids, and their meshes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
Mesh = tuple[Array, NDArray[np.int64], Floats]  # vertices (V, 3), triangles (T, 3), colours of the vertices (V, 3)
Color = tuple[int, int, int]
ROUND = (1.0, 1.0, 1.0)
_SIDES, _RINGS = 28, 10  # corners of each ring, and rings on each sphere
_ACROSS = np.eye(3)


@dataclass(frozen=True, eq=False)
class Solid:
    """Hull of two spheres, possibly stretched: a tapered limb, a trunk, or an ellipsoid.

    Attributes:
        ends: Centres of both spheres `(2, 3)`, world, mm.
        radii: Radii of both spheres, mm.
        color: RGB.
        axes: Rotation `(3, 3)`, world from the axes along which it is stretched.
        width: Factors by which it is stretched along each of these axes.
    """

    ends: Array
    radii: tuple[float, float]
    color: Color
    axes: Array
    width: tuple[float, float, float] = ROUND


def solids_mesh(solids: Sequence[Solid]) -> Mesh:
    """Return the surfaces of solids as one mesh."""
    vertices = np.stack([_vertices(solid) for solid in solids])
    count = vertices.shape[1]
    triangles = np.concatenate([_triangles() + n * count for n in range(len(solids))])
    colors = np.repeat(np.array([solid.color for solid in solids], np.float32), count, axis=0)
    return vertices.reshape(-1, 3), triangles, colors


def _vertices(solid: Solid) -> Array:
    """Return rings around the line from the first sphere to the second, `(2 * _RINGS * _SIDES, 3)`.

    They are computed before stretching, where the spheres are round. A cone that touches both spheres joins them. It
    touches where the angle between the radius and the line has the cosine (difference of the radii) / distance: there
    the sphere's rings end and the cone begins.
    """
    along = (solid.ends[1] - solid.ends[0]) @ solid.axes / solid.width
    distance = float(np.linalg.norm(along))
    line = along / distance if distance else np.array([0.0, 0.0, 1.0])
    touch = np.arccos(np.clip((solid.radii[0] - solid.radii[1]) / distance, -1, 1)) if distance else np.pi / 2
    angle = np.concatenate([np.linspace(np.pi, touch, _RINGS), np.linspace(touch, 0, _RINGS)])
    first = np.cross(line, _ACROSS[np.abs(line).argmin()])
    first /= np.linalg.norm(first)
    turn = np.linspace(0, 2 * np.pi, _SIDES, endpoint=False)[:, None]
    ring = np.cos(turn) * first + np.sin(turn) * np.cross(line, first)
    outward = np.cos(angle)[:, None, None] * line + np.sin(angle)[:, None, None] * ring
    radius, center = np.repeat(solid.radii, _RINGS), np.repeat(solid.ends, _RINGS, axis=0)
    return np.asarray(center[:, None] + (radius[:, None, None] * outward * solid.width) @ solid.axes.T).reshape(-1, 3)


def _triangles() -> NDArray[np.int64]:
    """Return two triangles for each corner of every ring but the last, counter-clockwise from outside."""
    here = np.arange(2 * _RINGS * _SIDES).reshape(2 * _RINGS, _SIDES)
    beside = np.roll(here, -1, axis=1)
    one = np.stack([here[:-1], beside[:-1], beside[1:]], axis=-1)
    other = np.stack([here[:-1], beside[1:], here[1:]], axis=-1)
    return np.concatenate([one, other]).reshape(-1, 3)
