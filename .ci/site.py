"""Pages of the site that are made when it is built: README, the changelog, every command's options, the Python API."""

import re
from pathlib import Path

from mkdocs.structure.files import File

from epitool.cli.commands import command
from epitool.options import COMMANDS

ROOT = Path(__file__).parent.parent
MODULES = (
    "epitool.camera", "epitool.skeleton", "epitool.pose", "epitool.labels", "epitool.geometry.calibration.calibrate",
    "epitool.geometry.triangulation.labels", "epitool.geometry.triangulation.triangulate", "epitool.metrics",
    "epitool.pss", "epitool.io.cameras", "epitool.io.keypoints_h5", "epitool.io.labels_h5", "epitool.io.predictions",
)  # fmt: skip


def on_files(files, config):
    """Adds the pages."""
    readme = re.sub(r"\]\(docs/", "](", (ROOT / "README.md").read_text(encoding="utf-8"))
    modules = "\n\n".join(f"::: {name}" for name in MODULES if importable(name))
    pages = {
        "index.md": readme,
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        "reference.md": reference(),
        "api.md": f"# Python API\n\n{modules}\n",
    }
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files


def importable(name):
    """Whether there is such a module."""
    path = ROOT / Path(*name.split("."))
    return path.with_suffix(".py").exists() or path.is_dir()


def reference():
    """Every command with its options, from the code."""
    lines = ["# Command reference", "", "What `epitool COMMAND --help` says.", ""]
    for name in COMMANDS:
        made = command(name)
        lines += [f"## {name}", "", plain(made.help), ""]
        arguments = [param for param in made.params if param.param_type_name == "argument"]
        for argument in arguments:
            lines += [f"`{(argument.metavar or argument.name).upper()}`: {plain(argument.help)}", ""]
        lines += ["| option | default | |", "|---|---|---|"]
        for option in made.params:
            if option not in arguments and option.name != "help":
                lines.append(f"| `{', '.join(option.opts)}` | {default_of(option)} | {plain(option.help or '')} |")
        lines.append("")
    return "\n".join(lines)


def default_of(option):
    """The default as the help shows it."""
    shown = option.show_default if isinstance(option.show_default, str) else option.default
    if shown in (None, "", []) or isinstance(shown, bool):
        return ""
    return f"`{getattr(shown, 'value', shown)}`"


def plain(text):
    """Help text as a line of a table."""
    return re.sub(r"\s+", " ", text or "").replace("|", "\\|").replace("<", "&lt;")
