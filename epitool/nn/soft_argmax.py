"""Soft-argmax over volumes (section 3.2), without a copy of the volume for every step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def soft_argmax(volume: Tensor) -> tuple[Tensor, Tensor]:
    """Return the expected position of every joint, and how concentrated its heatmap is.

    Args:
        volume: Logits `(N, J, D, D, D)`, axes (depth, y, x).

    Returns:
        Coordinates `(N, J, 3)` as x, y, z in -0.5..0.5: sum(i p(i)) / D - 0.5. Sharpness `(N, J)` in 0..1: 1 / (1 +
        variance of x and y under p / that of a uniform heatmap), which is 1 for a peak and 0.5 for a uniform heatmap.
    """
    size = volume.shape[-1]
    mean, variance = _Moments.apply(volume)  # type: ignore[no-untyped-call]
    uniform = (size**2 - 1) / 12  # variance of a discrete uniform distribution over 0..D-1
    return mean / size - 0.5, 1 / (1 + variance[..., :2].mean(dim=-1).clamp(min=0) / uniform)


class _Moments(torch.autograd.Function):
    """Mean and variance `(N, J, 3)` of the voxel index along x, y, z under softmax.

    They need only the marginals. The gradient of the mean, p (i - mean) along each axis, needs only p and the mean.
    """

    @staticmethod
    def forward(ctx: Any, volume: Tensor) -> tuple[Tensor, Tensor]:
        size = volume.shape[-1]
        flat = volume.reshape(-1, size, size * size)
        p = torch.empty_like(flat) if volume.requires_grad else None
        marginals = torch.cat([_marginals(flat[part], None if p is None else p[part]) for part in _parts(flat)])
        index = torch.arange(size, dtype=flat.dtype, device=flat.device)
        mean = marginals @ index
        variance = marginals @ index.square() - mean.square()
        if p is not None:
            ctx.save_for_backward(p, mean)
        ctx.mark_non_differentiable(variance)
        return mean.view(*volume.shape[:2], 3), variance.view(*volume.shape[:2], 3)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> Tensor:
        p, mean = ctx.saved_tensors
        size = p.shape[1]
        index = torch.arange(size, dtype=p.dtype, device=p.device)
        along = (index - mean[..., None]) * gradient.reshape(-1, 3, 1)
        out = torch.empty_like(p)
        for part in _parts(p):
            x, y, z = along[part].unbind(dim=1)
            plane = (y[..., None] + x[:, None]).reshape(len(x), 1, -1)
            torch.add(z[..., None], plane, out=out[part]).mul_(p[part])
        return out.view(*gradient.shape[:2], size, size, size)


def _parts(flat: Tensor) -> list[slice]:
    """Divide joints into parts that are computed together: on a CPU as many as fit in its caches, else all."""
    step = 2 * torch.get_num_threads() if flat.device.type == "cpu" else max(len(flat), 1)
    return [slice(start, start + step) for start in range(0, len(flat), step)]


def _marginals(logits: Tensor, out: Tensor | None) -> Tensor:
    """Return the marginals `(K, 3, D)` along x, y, z of softmax over `(K, D, D * D)`, which is written to `out`."""
    size = logits.shape[1]
    flat = None if out is None else out.view(len(out), -1)
    p = torch.softmax(logits.reshape(len(logits), -1), dim=-1, out=flat).view(logits.shape)
    plane, z = p.sum(dim=1).view(-1, size, size), p.sum(dim=2)
    return torch.stack([plane.sum(dim=1), plane.sum(dim=2), z], dim=1) / z.sum(dim=1)[:, None, None]  # rounding
