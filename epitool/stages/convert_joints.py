"""`epitool convert` of 2D joints: what other programs have seen to `keypoints.h5`, checked on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from epitool.console import Summary
from epitool.errors import GeometryError, InputError, UsageError
from epitool.images import View, open_view
from epitool.io.foreign.people import read_views
from epitool.io.foreign.seen import SeenView
from epitool.skeleton import Skeleton
from epitool.stages.assembling import Assembly, found_of


def convert_joints(
    inputs: Sequence[Path], out: Path, footage: Sequence[Path], size: tuple[int, int] | None,
    body: Skeleton | None,
) -> Summary:  # fmt: skip
    """Converts what was seen in each view, a file or folder of `inputs`, to keypoints; arguments as of `convert`.

    Raises:
        InputError: A file is damaged, of no known format, or of other images than the footage.
        UsageError: Something is missing or does not fit.
        GeometryError: The views have no frame in common, or nobody is in any.
    """
    if out.suffix.lower() != ".h5":
        raise UsageError(f"--out {out}: 2D joints become a keypoints .h5")
    seen = [view for path in inputs for view in read_views(path, body)]
    names = [view.name for view in seen]
    if len(set(names)) < len(names):
        raise UsageError(f"two views are named {max(names, key=names.count)}; rename a file or folder")
    seen = _alike_where_empty(seen)
    if any(view.skeleton.joints != seen[0].skeleton.joints for view in seen):
        bodies = ", ".join(f"{view.name} {view.skeleton.name} ({len(view.skeleton)})" for view in seen)
        raise InputError(f"views with other joints: {bodies}")
    filmed = [open_view(path) for path in footage]
    if filmed and len(filmed) != len(seen):
        raise UsageError(f"{len(seen)} views of joints ({', '.join(names)}), but {len(filmed)} of footage")
    views = [_view(one, filmed[n] if filmed else None, size) for n, one in enumerate(seen)]
    common = set.intersection(*(set(view.people) for view in seen))
    if not common:
        spans = ", ".join(f"{view.name} {min(view.people, default=0)}-{max(view.people, default=0)}" for view in seen)
        raise GeometryError(f"the views have no frame number in common: {spans}")
    body = seen[0].skeleton
    people = Assembly(views, [found_of(view.people, len(body)) for view in seen], body)
    if not people.anybody:
        raise GeometryError(f"nobody is in any frame of {', '.join(names)}")
    program = f"{seen[0].program}: {', '.join(str(path) for path in inputs)}"
    tally = people.write(out, program, named=bool(filmed))
    if filmed:
        tally.report()
    text = f"{out}: {tally.frames} frames x {len(names)} views of {seen[0].program}, {len(body)} joints ({body.name})"
    values = {
        "out": str(out), "frames": tally.frames, "views": names, "joints": len(body), "program": seen[0].program
    }  # fmt: skip
    return Summary(f"{text}, a person in {tally.found.sum()} images", values)


def _alike_where_empty(seen: Sequence[SeenView]) -> list[SeenView]:
    """The views, those in which nobody is with the joints of the others: their files do not tell how many."""
    known = [view.skeleton for view in seen if any(len(xy) for xy, _ in view.people.values())]
    if not known:
        return list(seen)
    nobody = np.empty((0, len(known[0]), 2)), np.empty((0, len(known[0])))
    return [
        view
        if any(len(xy) for xy, _ in view.people.values())
        else replace(view, skeleton=known[0], people=dict.fromkeys(view.people, nobody))
        for view in seen
    ]


def _view(seen: SeenView, filmed: View | None, size: tuple[int, int] | None) -> View:
    """Where a view's images are, and how large; of footage that is not given only the size is known.

    Raises:
        InputError: Joints lie outside of the images, or of frames that the footage does not have.
        UsageError: Nothing tells the size.
    """
    size = filmed.image_size if filmed else size or seen.size
    if size is None:
        raise UsageError(
            f"{seen.name}: the files do not say how large the images are; give --views footage or --size WxH"
        )
    frames = tuple(sorted(seen.people))
    if filmed and (strange := set(frames) - set(filmed.frames)):
        raise InputError(
            f"{filmed.path}: has frames {filmed.frames[0]}-{filmed.frames[-1]}, the joints of {seen.name} are of frame"
            f" {min(strange)} too"
        )
    everyone = np.concatenate([np.empty((0, 2)), *(xy.reshape(-1, 2) for xy, _ in seen.people.values())])
    outside = (everyone > np.array(size) * 1.5).any(axis=-1).mean() if len(everyone) else 0
    if outside > 0.2:
        raise InputError(f"{seen.name}: {outside:.0%} of the joints lie far outside of {size[0]}x{size[1]} images")
    known = filmed or View(seen.name, Path(seen.name), frames, (), size)
    return replace(known, name=seen.name, frames=known.frames if filmed else frames)
