"""One class of options per command, with types, defaults and checks, for both the command line and Python.

Each class is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from epitool.options.calibrate import CalibrateOptions as CalibrateOptions
    from epitool.options.convert import ConvertOptions as ConvertOptions
    from epitool.options.demo import DemoOptions as DemoOptions
    from epitool.options.detect2d import Detect2dOptions as Detect2dOptions
    from epitool.options.doctor import DoctorOptions as DoctorOptions
    from epitool.options.evaluate import EvaluateOptions as EvaluateOptions
    from epitool.options.export import ExportOptions as ExportOptions
    from epitool.options.import_dataset import ImportOptions as ImportOptions
    from epitool.options.mocap import MocapOptions as MocapOptions
    from epitool.options.predict import PredictOptions as PredictOptions
    from epitool.options.pss_fit import PssFitOptions as PssFitOptions
    from epitool.options.refine import RefineOptions as RefineOptions
    from epitool.options.show import ShowOptions as ShowOptions
    from epitool.options.synth import SynthOptions as SynthOptions
    from epitool.options.train import TrainOptions as TrainOptions
    from epitool.options.triangulate import TriangulateOptions as TriangulateOptions

# The commands by what they are for; for each, the name of its module (the same here and in `stages`) and of its class.
GROUPS = {
    "Try it": {"demo": ("demo", "DemoOptions"), "doctor": ("doctor", "DoctorOptions")},
    "From footage to 3D": {
        "mocap": ("mocap", "MocapOptions"),
        "detect2d": ("detect2d", "Detect2dOptions"),
        "calibrate": ("calibrate", "CalibrateOptions"),
        "triangulate": ("triangulate", "TriangulateOptions"),
    },
    "3D from single images": {
        "predict": ("predict", "PredictOptions"),
        "refine": ("refine", "RefineOptions"),
        "train": ("train", "TrainOptions"),
        "export": ("export", "ExportOptions"),
    },
    "Measure": {"evaluate": ("evaluate", "EvaluateOptions"), "pss-fit": ("pss_fit", "PssFitOptions")},
    "Files": {
        "show": ("show", "ShowOptions"),
        "convert": ("convert", "ConvertOptions"),
        "import": ("import_dataset", "ImportOptions"),
        "synth": ("synth", "SynthOptions"),
    },
}
COMMANDS = {name: home for group in GROUPS.values() for name, home in group.items()}
_HOME = {name: module for module, name in COMMANDS.values()}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'epitool.options' has no attribute '{name}'")
    return getattr(importlib.import_module(f"epitool.options.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*_HOME, "COMMANDS"]
