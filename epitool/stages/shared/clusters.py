"""Remarks on clusters of poses, in words."""

from __future__ import annotations

from epitool.pss import PssModel


def shortages(model: PssModel) -> list[str]:
    """Return a remark for each codebook that has fewer clusters than were asked for."""
    return [
        f"too few distinct poses for k = {codebook.asked}: {codebook.k} clusters, half their number"
        for codebook in model.codebooks
        if codebook.k != codebook.asked
    ]
