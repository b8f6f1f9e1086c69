"""Readers of photographs with 2D joints: MPII (Andriluka et al. 2014) and COCO (Lin et al. 2014).

MPII is read from its `mpii_human_pose_v1_u12_1.mat`, or from `annot/train.json` and `annot/valid.json` (Xiao et al.
2018); COCO from `annotations/person_keypoints_{train,val}2017.json`. Every person becomes a frame of one view.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from epitool.camera import Array
from epitool.errors import InputError
from epitool.io.datasets.common import read_matlab
from epitool.io.files import foreign_file
from epitool.pose import Keypoints
from epitool.skeleton import Skeleton, skeleton

_LARGEST_PX = 1e7
MIN_JOINTS = 5
_VAL_SHARE = 0.1  # share of people for validation if the dataset states no split


class Person(NamedTuple):
    """A person in a photograph: the image file, and joints `(J, 2)` px, NaN where not labelled."""

    image: Path
    xy: Array


def read_mpii(root: Path) -> Keypoints:
    """Read the people in MPII's training images, with those for validation last.

    Raises:
        InputError: The folder has neither form of the annotations, or they are damaged.
    """
    parts = [root / "annot" / "train.json", root / "annot" / "valid.json"]
    if parts[0].is_file():
        people = [list(_mpii_people(root, path)) for path in parts]
    else:
        found = [*root.glob("*.mat"), *root.glob("annot*/*.mat"), *root.glob("*/mpii_human_pose*.mat")]
        if not found:
            raise InputError(f"{root}: holds neither annot/train.json nor mpii_human_pose_v1_u12_1.mat")
        with foreign_file(found[0], "MPII's annotations"):
            everyone = list(
                _mpii_release(root, read_matlab(found[0], struct_as_record=False, squeeze_me=True)["RELEASE"])
            )
        images = [person.image for person in everyone]
        cut = round(len(everyone) * (1 - _VAL_SHARE))
        while 0 < cut < len(everyone) and images[cut] == images[cut - 1]:  # a photograph is in one part
            cut += 1
        people = [everyone[:cut], everyone[cut:]]
    return _keypoints("mpii", people, skeleton("mpii16"))


def read_coco(root: Path) -> Keypoints:
    """Read the people with keypoints in COCO's training images, then those in its validation images.

    Raises:
        InputError: The folder has no annotations of keypoints, or they are damaged.
    """
    people = [list(_coco_people(root, f"{part}2017")) for part in ("train", "val")]
    return _keypoints("coco", people, skeleton("coco17"))


def _mpii_people(root: Path, path: Path) -> Iterator[Person]:
    with foreign_file(path, "MPII's annotations as JSON"):
        for one in json.loads(path.read_bytes()):
            xy = np.array(one["joints"], dtype=float).reshape(16, 2) - 1  # pixels are counted from 1, as in Matlab
            seen = np.array(one["joints_vis"], dtype=float).reshape(16) > 0
            yield Person(_inside(root / "images", one["image"]), np.where(seen[:, None], xy, np.nan))


def _mpii_release(root: Path, release: Any) -> Iterator[Person]:
    for annotation, training in zip(release.annolist, np.ravel(release.img_train), strict=True):
        if not training:
            continue
        for one in np.ravel(annotation.annorect):
            points = getattr(getattr(one, "annopoints", None), "point", None)
            if points is None:
                continue
            xy = np.full((16, 2), np.nan)
            for point in np.ravel(points):
                xy[int(point.id)] = float(point.x) - 1, float(point.y) - 1
            yield Person(_inside(root / "images", annotation.image.name), xy)


def _coco_people(root: Path, part: str) -> Iterator[Person]:
    path = root / "annotations" / f"person_keypoints_{part}.json"
    folder = root / "images" / part if (root / "images" / part).is_dir() else root / part
    with foreign_file(path, "COCO's annotations of keypoints"):
        content = json.loads(path.read_bytes())
        names = {image["id"]: image["file_name"] for image in content["images"]}
        for one in content["annotations"]:
            if one.get("iscrowd") or not one.get("num_keypoints"):
                continue
            joints = np.array(one["keypoints"], dtype=float).reshape(17, 3)
            yield Person(
                _inside(folder, names[one["image_id"]]), np.where(joints[:, 2:] > 0, joints[:, :2], np.nan)
            )  # fmt: skip


def _inside(folder: Path, name: str) -> Path:
    """Return the path of an image in a folder.

    Raises:
        ValueError: The name leads out of the folder.
    """
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"an image named {name[:80]} would lie outside of {folder.name}/")
    return folder / name


def _keypoints(view: str, parts: Iterable[list[Person]], body: Skeleton) -> Keypoints:
    training, choice = ([one for one in part if np.isfinite(one.xy[:, 0]).sum() >= MIN_JOINTS] for part in parts)
    people = training + choice
    if not people:
        raise InputError(f"{view}: nobody has {MIN_JOINTS} labelled joints")
    first = people[0].image
    if not first.is_file():
        raise InputError(f"{first}: no such file, but the annotations name it")
    xy = np.stack([one.xy for one in people])[:, None]
    if (np.abs(np.nan_to_num(xy)) > _LARGEST_PX).any():
        raise InputError(f"{view}: joints that lie in no image")
    return Keypoints(
        xy=xy,
        confidence=np.isfinite(xy[..., 0]).astype(float),
        frames=np.arange(len(people)),
        views=(view,),
        images=np.array([[str(one.image)] for one in people]),
        image_size=np.zeros((1, 2), dtype=np.int64),
        skeleton=body,
        split=(len(training), len(people)),
    )
