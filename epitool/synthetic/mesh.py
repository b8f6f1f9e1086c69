"""Drawing of triangles with a depth buffer, in numba, which is fast for many small triangles such as a skin's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera
from epitool.geometry.compiled.formula import compiled
from epitool.images import Image

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
AMBIENT = 0.5
_NEAREST = 100.0  # mm in front of the camera


def draw_mesh(
    image: Image, depth: Floats, camera: Camera, vertices: Array, triangles: NDArray[np.int64], colors: Floats,
    to_light: Array,
) -> None:  # fmt: skip
    """Draw a matt surface into an RGB image, in place, where it is nearer than the depth so far.

    Lens distortion moves the corners of triangles; their edges stay straight.

    Args:
        image: RGB image `(h, w, 3)`.
        depth: Depth along the optical axis, mm, `(h, w)`; infinite where nothing has been drawn.
        camera: Camera of the image.
        vertices: Vertices, world, mm, `(V, 3)`.
        triangles: Triangles `(T, 3)`, counter-clockwise from outside.
        colors: Colours of the vertices, 0 to 255, `(V, 3)`.
        to_light: Direction to the light, world, unit length.
    """
    z = camera.to_camera(vertices)[:, 2]
    xy = camera.project(vertices)
    # Lambert's law plus ambient light, computed at the vertices and interpolated.
    shade = AMBIENT + (1 - AMBIENT) * np.maximum(vertex_normals(vertices, triangles) @ to_light, 0)
    _fill(image, depth, xy, z, triangles, (colors * shade[:, None]).astype(np.float32), _NEAREST)


def vertex_normals(vertices: Array, triangles: NDArray[np.int64]) -> Array:
    """Return unit normals `(V, 3)`: means of those of the triangles around each vertex, weighted by area."""
    normals = np.zeros_like(vertices)
    _add_normals(vertices, triangles, normals)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return normals / np.where(length > 0, length, 1)


@compiled
def _add_normals(vertices: Any, triangles: Any, normals: Any) -> None:
    for t in range(len(triangles)):
        a, b, c = triangles[t]
        ux, uy, uz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
        vx, vy, vz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
        # The length of the cross product is twice the area, so triangles are weighted by their areas.
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for i in (a, b, c):
            normals[i, 0] += x
            normals[i, 1] += y
            normals[i, 2] += z


@compiled
def _fill(
    image: Any, depth: Any, xy: Any, z: Any, triangles: Any, colors: Any, nearest: float
) -> None:  # fmt: skip
    """Draw every pixel whose centre is inside a triangle, by its barycentric coordinates in the image."""
    height, width = depth.shape
    for t in range(len(triangles)):
        a, b, c = triangles[t]
        if not min(z[a], z[b], z[c]) > nearest:
            continue
        ax, ay, bx, by, cx, cy = xy[a, 0], xy[a, 1], xy[b, 0], xy[b, 1], xy[c, 0], xy[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if not area < 0:  # seen from behind; y points down, so front faces have a negative area
            continue
        # Pixel centres within the triangle's bounding box and the image.
        left, right = max(int(np.ceil(min(ax, bx, cx))), 0), min(int(np.floor(max(ax, bx, cx))), width - 1)
        top, bottom = max(int(np.ceil(min(ay, by, cy))), 0), min(int(np.floor(max(ay, by, cy))), height - 1)
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                # Barycentric coordinates: areas of the sub-triangles opposite a and b over the whole area.
                u = ((cy - by) * (x - bx) - (cx - bx) * (y - by)) / area * -1.0
                v = ((ay - cy) * (x - cx) - (ax - cx) * (y - cy)) / area * -1.0
                w = 1.0 - u - v
                if u < 0 or v < 0 or w < 0:
                    continue
                # Under perspective 1 / z, and not z, is linear in the image.
                far = 1.0 / (u / z[a] + v / z[b] + w / z[c])
                if far < depth[y, x]:
                    depth[y, x] = far
                    for k in range(3):
                        value = u * colors[a, k] + v * colors[b, k] + w * colors[c, k]
                        image[y, x, k] = np.uint8(min(max(value + 0.5, 0.0), 255.0))


def cuboid(low: Array, high: Array) -> tuple[Array, NDArray[np.int64]]:
    """Return the corners `(24, 3)` and triangles `(12, 3)` of an axis-aligned box.

    Each face has corners of its own, so that the edges stay sharp in shading.
    """
    vertices, triangles = list[Array](), list[tuple[int, ...]]()
    for axis in range(3):
        for far in (0, 1):
            first, second = (axis + 1) % 3, (axis + 2) % 3
            corners = np.empty((4, 3))
            corners[:, axis] = (low, high)[far][axis]
            corners[:, first] = [low[first], high[first], high[first], low[first]]
            corners[:, second] = [low[second], low[second], high[second], high[second]]
            base = 4 * len(vertices)
            # The order of corners is reversed on the low faces, so that all are counter-clockwise from outside.
            quads = [(0, 1, 2), (0, 2, 3)] if far else [(0, 2, 1), (0, 3, 2)]
            triangles += [tuple(base + i for i in quad) for quad in quads]
            vertices.append(corners)
    return np.concatenate(vertices), np.array(triangles)
