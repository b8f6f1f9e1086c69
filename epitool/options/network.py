"""How networks are built and trained, as their checkpoints state it, and the presets of `train`."""

from __future__ import annotations

from dataclasses import dataclass

from epitool.errors import UsageError

BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
LOSSES = ("smooth_l1", "l1")
SUPERVISIONS = ("self", "full", "2d")


@dataclass(frozen=True)
class NetworkOptions:
    """How the pose network is built and trained.

    Attributes:
        supervision: What is learned: "self" (triangulated poses), "full" (true poses), or "2d" (keypoints alone).
        backbone: Which of torchvision's ResNets.
        image_size: Side of the square crop that the network sees, px; the volume has a quarter of it.
        filters: Channels of the three transposed convolutions.
        epochs: Passes over the training frames.
        batch_size: Images in a step.
        learning_rate: Of Adam, before the steps down.
        lr_steps: At which parts of the epochs the learning rate is multiplied by 0.1.
        loss: "smooth_l1" (the paper's) or "l1".
        rotation_deg: Crops are rotated by up to this angle either way.
        scale_range: Crops are scaled by a factor between these.
        colour_range: Each colour channel is multiplied by a factor between these.
        occlusion: Whether to paint synthetic occluders.
        occluders: Folder of the cut-outs to paste as such, images with alpha; "" for simple shapes.
        together: Whether all views of a frame follow each other in the order of training.
        seed: Of the initial weights, the order of the images and the augmentation.
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
        if min(self.filters, self.epochs) < 1 or self.batch_size < 2 or not self.learning_rate > 0:
            raise UsageError("filters, epochs and learning rate must be positive, and the batch size 2 or more")


@dataclass(frozen=True)
class UnitOptions:
    """How the refinement unit is built and trained.

    Attributes:
        width: Units of its linear layers.
        steps: How many batches it learns from, each drawn anew.
        batch_size: Poses in a batch.
        learning_rate: Of AdamW at its highest.
        weight_decay: Of AdamW.
        dropout: Probability.
        average: How much of the moving average of the weights each step keeps.
        seed: Of the initial weights, of what is drawn, and of the dropout.
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
# For two CPU cores and a few hundred images: small batches, because the number of steps is what is short.
SMALL = NetworkOptions(
    backbone="resnet18",
    image_size=96,
    filters=64,
    epochs=40,
    batch_size=8,
    occlusion=False,
)
PRESETS = {"paper": PAPER, "small": SMALL}
