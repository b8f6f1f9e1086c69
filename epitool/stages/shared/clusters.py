"""What is odd about clusters of poses, in words."""

from __future__ import annotations

from epitool.pss import PssModel


def shortages(model: PssModel) -> list[str]:
    """Where there are fewer clusters than were asked for, in words."""
    return [
        f"too few distinct poses for k = {codebook.asked}: {codebook.k} clusters, half their number"
        for codebook in model.codebooks
        if codebook.k != codebook.asked
    ]
