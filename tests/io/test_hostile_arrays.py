"""Arrays of our own files that are whole, but mean nonsense: each is used, or refused in one line.

Every array and attribute of every file is damaged in every way below, and read by one command that uses the file; with
`EPITOOL_HOSTILE=40`, by all of them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from test_hostile import COMMANDS, FINE, SEEDS, run, sound  # noqa: F401 - a fixture
from tiers import once

Array = np.ndarray[Any, Any]


def strings(values: Array) -> Array:
    return np.full(values.shape, b"x")


def repeated(values: Array) -> Array:
    """The first of everything, over and over: views, joints and frames of one name."""
    return np.repeat(values[:1], len(values), axis=0) if values.ndim else values


def filled(value: float) -> Callable[[Array], Array]:
    return lambda values: np.full(values.shape, value)


WAYS: dict[str, Callable[[Array], Array | None]] = {
    "gone": lambda values: None,
    "empty": lambda values: values[:0],
    "short": lambda values: values[: len(values) // 2],
    "an axis less": lambda values: values[0] if values.ndim else values,
    "an axis more": lambda values: values[None],
    "turned": lambda values: values.T.copy(),
    "backwards": lambda values: values[::-1].copy(),
    "repeated": repeated,
    "strings": strings,
    "NaN": filled(np.nan),
    "infinite": filled(np.inf),
    "huge": filled(1e300),
    "negative": filled(-1.0),
    "zero": filled(0.0),
}


def named(file: h5py.File) -> list[str]:
    """Every dataset, and every attribute as `group@name`."""
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    groups = ["/", *(name for name, item in file.items() if isinstance(item, h5py.Group))]
    return [*names, *(f"{group}@{attribute}" for group in groups for attribute in file[group].attrs)]


def damage(path: Path, name: str, way: str) -> None:
    with h5py.File(path, "r+") as file:
        group, at, attribute = name.partition("@")
        place, key = (file[group].attrs, attribute) if at else (file, name)
        values = np.asarray(place[key] if at else place[key][()])
        del place[key]
        if (changed := WAYS[way](values)) is not None:
            place[key] = changed


def names_in(file: str) -> list[str]:
    from conftest import exact_labels

    from epitool.io.keypoints_h5 import write_keypoints
    from epitool.io.labels_h5 import write_labels

    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"epitool-names-{os.getpid()}.h5"
    labels = exact_labels(2)
    if file == "labels.h5":
        write_labels(path, labels)
    else:
        write_keypoints(path, labels.keypoints)
    with h5py.File(path) as content:
        found = named(content)
    path.unlink()
    return found


def cases() -> list[Any]:
    made, turn = [], 0
    for file in ("keypoints.h5", "labels.h5"):
        for name in names_in(file):
            for way in WAYS:
                turn += 1
                commands = COMMANDS[file] if SEEDS > 2 else [COMMANDS[file][turn % len(COMMANDS[file])]]
                made += [pytest.param(file, name, way, c, id=f"{c[0]}-{file}-{name}-{way}") for c in commands]
    return made


def shown(file, name, way, command):
    """Every damage of every array; some arrays stand in both files, and are read alike."""
    return (name.rpartition("/")[2], way), (file, *command)


@pytest.mark.parametrize(("file", "name", "way", "command"), once(cases(), shown))
def test_nonsense_ends_in_a_line_and_a_status(sound, tmp_path, file, name, way, command):  # noqa: F811
    folder = tmp_path / "copy"
    shutil.copytree(sound, folder)
    try:
        damage(folder / file, name, way)
    except (IndexError, ValueError, TypeError):
        pytest.skip("has no such damage")
    before = (folder / file).read_bytes()
    result = run(command, folder)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    assert result.exit_code in FINE
    if result.exit_code:
        assert "error:" in result.output
        assert not list(folder.glob("o*")), "something half written"
    assert (folder / file).read_bytes() == before
    assert not list(folder.glob(".epitool-*"))
