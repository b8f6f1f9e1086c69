"""Embedding of poses in a plane where similar poses lie close together (the paper's Figure 5)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_PERPLEXITY = 30.0


def embed(flat: Floats, seed: int) -> NDArray[np.float64]:
    """Return the t-SNE embedding `(N, 2)` of vectors `(N, D)` (van der Maaten and Hinton 2008).

    Raises:
        ValueError: There are fewer than four vectors.
    """
    from sklearn.manifold import TSNE

    if len(flat) < 4:
        raise ValueError(f"{len(flat)} vectors are too few to embed")
    perplexity = min(_PERPLEXITY, (len(flat) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(flat).astype(np.float64)
