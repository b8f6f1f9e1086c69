"""Draws solids by casting a ray through every pixel that a solid can touch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from epitool.camera import Camera
from epitool.images import Image
from epitool.synthetic.body import Solid

Array = NDArray[np.float64]
Rays = NDArray[np.float32]
TO_LIGHT = np.array([0.35, -0.45, 0.82])  # world
AMBIENT = 0.45


def camera_rays(camera: Camera) -> Rays:
    """Direction `(height, width, 3)` of the ray through each pixel, camera axes, z = 1."""
    width, height = camera.image_size
    x, y = np.meshgrid(np.arange(width, dtype=float), np.arange(height, dtype=float))
    xy = camera.normalize(np.stack([x, y], axis=-1))
    return np.concatenate([xy, np.ones_like(xy[..., :1])], axis=-1).astype(np.float32)


def draw_solids(image: Image, solids: Sequence[Solid], camera: Camera, rays: Rays) -> None:
    """Draws solids into an RGB image, in place, the nearest one on top, lit from one side."""
    depth = np.full(image.shape[:2], np.inf, np.float32)
    for solid in solids:
        window = _window(solid, camera)
        if window is None:
            continue
        z, shade = _cast(rays[window], solid, camera)
        nearest = z < depth[window]
        depth[window][nearest] = z[nearest]
        image[window][nearest] = shade[nearest, None] * np.array(solid.color, np.float32)


def _window(solid: Solid, camera: Camera) -> tuple[slice, slice] | None:
    """Rows and columns that the solid can touch; None where it is out of the picture."""
    widest = 1 / np.linalg.eigvalsh(solid.squeeze)[0]
    centers, radii = camera.to_camera(solid.ends), widest * np.array(solid.radii)
    nearest = centers[:, 2] - radii
    if (nearest <= 0).any():
        return None
    xy = camera.project(solid.ends)
    off_axis = np.linalg.norm(centers, axis=-1) / centers[:, 2]  # away from the middle, spheres look drawn out
    reach = (camera.focal * radii / nearest * off_axis + 1)[:, None]
    low = np.maximum(np.floor((xy - reach).min(axis=0)), 0).astype(int)
    high = np.minimum(np.ceil((xy + reach).max(axis=0)) + 1, camera.image_size).astype(int)
    if (low >= high).any():
        return None
    return slice(low[1], high[1]), slice(low[0], high[0])


def _cast(rays: Rays, solid: Solid, camera: Camera) -> tuple[Rays, Rays]:
    """Depth (infinite where a ray misses) and brightness of a solid along rays `(h, w, 3)`.

    The solid is swept by spheres from `start` to `end`. The sphere that a ray meets first is where the swept cone's
    quadratic has its nearer root, held between both ends; that one sphere is then intersected exactly. All of it
    happens in the squeezed space, where spheres are round and depths along a ray are the same.
    """
    squeeze = camera.R @ solid.squeeze @ camera.R.T
    start, end = camera.to_camera(solid.ends) @ squeeze
    ray = rays @ squeeze.astype(np.float32)
    ray_ray = _dot(ray, ray)

    along = _first_sphere(ray, ray_ray, start, end, solid.radii)
    center = start.astype(np.float32) + along[..., None] * (end - start).astype(np.float32)
    radius = solid.radii[0] + along * np.float32(solid.radii[1] - solid.radii[0])
    ray_center = _dot(ray, center)
    inside = ray_center**2 - ray_ray * (_dot(center, center) - radius**2)
    surface = (ray_center - np.sqrt(np.maximum(inside, 0))) / ray_ray
    shade = _lambert((surface[..., None] * ray - center) @ squeeze.astype(np.float32), camera)
    return np.where(inside > 0, surface, np.float32(np.inf)), shade


def _lambert(normals: Rays, camera: Camera) -> Rays:
    """Brightness `(...)` of a matt surface with these normals `(..., 3)`, camera axes, any length."""
    to_light = (camera.R @ (TO_LIGHT / np.linalg.norm(TO_LIGHT))).astype(np.float32)
    cosine = (normals @ to_light) / np.linalg.norm(normals, axis=-1)
    brightness: Rays = AMBIENT + (1 - AMBIENT) * np.clip(cosine, 0, 1)
    return brightness


def _first_sphere(ray: Rays, ray_ray: Rays, start: Array, end: Array, radii: tuple[float, float]) -> Rays:
    """Which of the spheres from start (0) to end (1) each ray meets first."""
    axis, taper = end - start, radii[0] - radii[1]
    spread = float(axis @ axis) - taper**2
    if spread <= 0:  # one sphere holds the other
        return np.full(ray.shape[:-1], float(taper < 0), np.float32)
    offset = -(start @ axis + taper * radii[0]) / spread
    apex = start + offset * axis
    slope = ray @ axis.astype(np.float32) / np.float32(spread)
    a = np.maximum(ray_ray - slope**2 * np.float32(spread), 1e-9)
    b = ray @ apex.astype(np.float32)
    c = np.float32(apex @ apex - (radii[0] - taper * offset) ** 2)
    root = (b - np.sqrt(np.maximum(b**2 - a * c, 0))) / a
    return np.clip(np.float32(offset) + slope * root, 0, 1)


def _dot(a: Rays, b: Rays) -> Rays:
    return np.einsum("...i,...i->...", a, b)
