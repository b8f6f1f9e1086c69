"""3D human pose from a few cameras: calibrate, label, train and measure, without a board or 3D ground truth."""

__version__ = "0.1.0"
