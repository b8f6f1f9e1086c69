"""Options for building and training networks, as stored in their checkpoints, and the presets of `train`."""

from __future__ import annotations

from dataclasses import dataclass

from epitool.errors import UsageError

BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
LOSSES = ("smooth_l1", "l1")
SUPERVISIONS = ("self", "full", "2d")


@dataclass(frozen=True)
class NetworkOptions:
    """Options for building and training the pose network.

    Attributes:
        supervision: Training target: "self" (triangulated poses), "full" (true poses), or "2d" (keypoints alone).
        backbone: Name of one of torchvision's ResNets.
        image_size: Side of the square crop that the network sees, px. The side of the volume is a quarter of it.
        filters: Channels of the three transposed convolutions.
        epochs: Number of passes over the training frames.
        batch_size: Number of images in a step.
        learning_rate: Learning rate of Adam, before it is lowered.
        lr_steps: Fractions of the epochs at which the learning rate is multiplied by 0.1.
        loss: "smooth_l1" (the paper's) or "l1".
        rotation_deg: Largest angle, in either direction, that crops are rotated by.
        scale_range: Range of the factor that crops are scaled by.
        colour_range: Range of the factor that each colour channel is multiplied by.
        occlusion: Whether to paint synthetic occluders.
        occluders: Folder of cut-outs (images with alpha) to paste as occluders; "" for simple shapes.
        together: Whether all views of a frame follow each other in the order of training.
        seed: Seed of the initial weights, the order of the images and the augmentation.
    """

    supervision: str = "self"
    backbone: str = "resnet50"
    image_size: int = 256
    filters: int = 256
    epochs: int = 140
    batch_size: int = 32
    learning_rate: float = 1e-3
    lr_steps: tuple[float, ...] = (90 / 140, 120 / 140)
    loss: str = "smooth_l1"
    rotation_deg: float = 30.0
    scale_range: tuple[float, float] = (0.8, 1.2)
    colour_range: tuple[float, float] = (0.8, 1.2)
    occlusion: bool = True
    occluders: str = ""
    together: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        choices = {
            "supervision": SUPERVISIONS,
            "backbone": BACKBONES,
            "loss": LOSSES,
        }
        for name, allowed in choices.items():
            if (found := getattr(self, name)) not in allowed:
                raise UsageError(f"{name} '{found}' is none of {', '.join(allowed)}")
        if self.image_size < 64 or self.image_size % 32:
            raise UsageError(f"image size {self.image_size} must be a multiple of 32, and 64 or more")
        if not self.learning_rate > 0:
            raise UsageError(f"learning rate {self.learning_rate:g} must be above 0")
        if min(self.filters, self.epochs) < 1 or self.batch_size < 2:
            raise UsageError("filters and epochs must be positive, and the batch size 2 or more")


@dataclass(frozen=True)
class UnitOptions:
    """Options for building and training the refinement unit.

    Attributes:
        width: Number of units in its linear layers.
        steps: Number of batches that it learns from; each is drawn anew.
        batch_size: Number of poses in a batch.
        learning_rate: Highest learning rate of AdamW.
        weight_decay: Weight decay of AdamW.
        dropout: Probability of the dropout.
        average: Fraction of the moving average of the weights that each step keeps.
        seed: Seed of the initial weights, the drawn batches and the dropout.
    """

    width: int = 512
    steps: int = 400
    batch_size: int = 256
    learning_rate: float = 3e-4
    weight_decay: float = 0.01
    dropout: float = 0.2
    average: float = 0.99
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.width, self.steps) < 1 or self.batch_size < 2 or self.learning_rate <= 0:
            raise UsageError("width, steps and learning rate must be positive, and the batch size 2 or more")
        if not 0 <= self.dropout < 1 or not 0 <= self.average < 1 or self.weight_decay < 0:
            raise UsageError("dropout and average must be at least 0 and under 1, and weight decay no less than 0")


PAPER = NetworkOptions()
# For two CPU cores and a few hundred images. Batches are small because there is time for few steps only.
SMALL = NetworkOptions(
    backbone="resnet18",
    image_size=96,
    filters=64,
    epochs=40,
    batch_size=8,
    occlusion=False,
)
PRESETS = {"paper": PAPER, "small": SMALL}
