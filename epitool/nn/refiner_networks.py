"""The two networks of the refinement unit in PyTorch, for training; `refiner_answers` has them in numpy."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from epitool.nn.looks import BODY, FEATURES
from epitool.nn.refiner_answers import BLOCKS, COLUMNS, HEADS, LAYERS, TOKEN, WIDTH, all_seen, whole


class RefinementNetwork(nn.Module):
    """An attention network, and beside it a residual network for joints that are all seen and hinted at.

    The latter is the more accurate of the two with the errors of a detector that it has learned, and the mean of both
    more accurate than each. It is misled by joints that are missing, and by other detectors.
    """

    def __init__(self, width: int, dropout: float) -> None:
        """Build the networks with random weights; the arguments are those of `ResidualNetwork`."""
        super().__init__()
        self.attention = AttentionNetwork()
        self.residual = ResidualNetwork(width, dropout)

    def forward(self, described: Tensor) -> Tensor:
        """Return poses `(N, 16, 3)` of about unit size for the features `(N, 97)` of `looks.described`."""
        poses = self.attention(described)
        rows = whole(described)
        return poses.index_put((rows,), 0.5 * (poses[rows] + self.residual(described[rows])))

    def loss(self, described: Tensor, targets: Tensor) -> Tensor:
        """Return the mean distance of the joints from `targets (N, 16, 3)`, summed over the networks.

        Each learns by itself: the residual network from looks with all joints, hinted at or not, which makes it better
        to go on from with a recording's own labels than hinted ones alone would.
        """
        total, rows = _distance(self.attention(described), targets), all_seen(described)
        # Batch normalisation needs two rows.
        return total + _distance(self.residual(described[rows]), targets[rows]) if rows.sum() > 1 else total


def _distance(poses: Tensor, targets: Tensor) -> Tensor:
    return torch.linalg.vector_norm(poses - targets, dim=-1).mean()


class ResidualNetwork(nn.Module):
    """Linear layers with batch normalisation and dropout in two residual blocks (section 3.3 of the paper)."""

    def __init__(self, width: int, dropout: float) -> None:
        """Build the network with random weights."""
        super().__init__()
        self.enter = _layer(FEATURES, width, dropout)
        self.blocks = nn.ModuleList(
            [nn.Sequential(_layer(width, width, dropout), _layer(width, width, dropout)) for _ in range(BLOCKS)]
        )
        self.leave = nn.Linear(width, 3 * len(BODY))

    def forward(self, described: Tensor) -> Tensor:
        """Return poses `(N, 16, 3)` for the features `(N, 97)`."""
        features = self.enter(described)
        for block in self.blocks:
            features = features + block(features)
        return self.leave(features).reshape(len(described), len(BODY), 3)


def _layer(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(), nn.Dropout(dropout))


class AttentionNetwork(nn.Module):
    """An encoder of a transformer whose tokens are the joints (Vaswani et al., "Attention is all you need", 2017)."""

    def __init__(self) -> None:
        """Build the network with random weights."""
        super().__init__()
        self.enter = nn.Linear(TOKEN, WIDTH)
        self.joint = nn.Parameter(0.5 * torch.randn(len(BODY), WIDTH))
        layers = (
            nn.TransformerEncoderLayer(
                WIDTH, HEADS, 2 * WIDTH, dropout=0.0, activation=nn.functional.silu, batch_first=True, norm_first=True
            )
            for _ in range(LAYERS)
        )
        self.layers = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(WIDTH)
        self.leave = nn.Linear(WIDTH, 3)

    def forward(self, described: Tensor) -> Tensor:
        """Return poses `(N, 16, 3)` for the features `(N, 97)`."""
        return self.leave(self.norm(self.layers(self.enter(described[:, COLUMNS]) + self.joint)))
