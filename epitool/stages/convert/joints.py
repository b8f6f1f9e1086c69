"""Conversion of other programs' 2D joints to `keypoints.h5` by `epitool convert`, with checks on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from epitool.console import Summary, counted, say, warn
from epitool.errors import GeometryError, InputError, UsageError
from epitool.images import IMAGE_SUFFIXES, VIDEO_SUFFIXES, View, open_view
from epitool.io.cameras import KNOWN_CAMERAS
from epitool.io.foreign.joints import read_views, require_known
from epitool.io.foreign.joints.orders import JointOrderError
from epitool.io.foreign.joints.seen_view import SeenView
from epitool.names import differing_parts, plain_name
from epitool.options import ConvertOptions
from epitool.skeleton import Skeleton
from epitool.stages.shared.assembling import Assembly, found_of
from epitool.stages.shared.footage import check_frame_rates, check_names, footage_among, report_lengths

_NORMALISED = 2.0  # no person is this small in pixels; normalised coordinates are in 0 to 1 or -1 to 1
_FAR, _MOST_FAR = 0.5, 0.2  # distance outside the image, as a share of its size; share of joints that may lie so far
_TURNED = 0.1  # share of joints outside the image that is suspicious if hardly any would be outside the turned image
_CORNER, _MANY_FRAMES = 0.55, 30  # joints found in images of half the size never leave one quarter of the image


def convert_joints(options: ConvertOptions, body: Skeleton | None) -> Summary:
    """Convert the 2D joints of each view to keypoints.

    Args:
        options: Options of the command; each of its inputs is a file or folder of one or more views.
        body: Skeleton of the joints; None if it is to be found from the files.

    Raises:
        InputError: A file is damaged, of no known format, or of other images than the footage.
        UsageError: Something is missing or does not fit.
        GeometryError: The views have no frame in common, or no frame shows a person.
    """
    inputs, out = options.inputs, options.out
    footage = next((path for path in inputs if _is_footage(path)), None)
    if footage:
        raise InputError(
            f"{footage}: is footage, and `convert` reads files of joints, poses and cameras; `epitool mocap VIEW..."
            f" --out {out.stem}.trc` takes footage to poses, `epitool detect2d --views VIEW...` to joints"
        )
    for path in inputs:
        require_known(path)
    if out.suffix.lower() != ".h5":
        raise UsageError(
            f"--out {out}: 2D joints become a keypoints .h5, and {inputs[0]} is read as such; cameras are read from"
            f" {KNOWN_CAMERAS}"
        )
    seen = [view for path in inputs for view in _views_in(path, body)]
    filmed = [open_view(path) for path in footage_among(options.views)]
    seen = _from_zero(_named(seen, filmed), filmed)
    seen, body = _check_one_body(seen)
    views = [_view(one, filmed[n] if filmed else None, options.size) for n, one in enumerate(seen)]
    report_lengths({view.name: view.people for view in seen})
    people = Assembly(views, [found_of(view.people, len(body)) for view in seen], body)
    names = [view.name for view in seen]
    if not people.anybody:
        raise GeometryError(f"nobody is in any frame of {', '.join(names)}")
    program = f"{seen[0].program}: {', '.join(str(path) for path in inputs)}"
    tally = people.write(out, program, named=bool(filmed))
    if filmed:
        tally.report()
    size = f"{counted(tally.frames, 'frame')} x {counted(len(names), 'view')} of {seen[0].program}"
    text = f"{out}: {size}, {len(body)} joints ({body.name})"
    values = {
        "out": str(out), "frames": tally.frames, "views": names, "joints": len(body), "program": seen[0].program
    }  # fmt: skip
    return Summary(f"{text}, a person in {counted(tally.found.sum(), 'image')}", values)


def _is_footage(path: Path) -> bool:
    files = path.iterdir() if path.is_dir() else [path]
    return any(file.suffix.lower() in VIDEO_SUFFIXES | IMAGE_SUFFIXES for file in files)


def _views_in(path: Path, body: Skeleton | None) -> list[SeenView]:
    try:
        return read_views(path, body)
    except JointOrderError as error:
        what = "leave out --skeleton" if body else "--skeleton says the order, if it is a known one"
        raise InputError(f"{error}; {what}") from None


def _named(seen: Sequence[SeenView], filmed: Sequence[View]) -> list[SeenView]:
    """Return the views with the names of their footage where it is given; both are in the same order.

    Raises:
        UsageError: Two views have the same name, or the footage has another number of views or another order.
        InputError: The footage has different frame rates.
    """
    if filmed and len(filmed) != len(seen):
        names = ", ".join(view.name for view in seen)
        raise UsageError(f"{len(seen)} views of joints ({names}), but {len(filmed)} of footage")
    if filmed:
        _check_order(seen, filmed)
        seen = [replace(view, name=film.name) for view, film in zip(seen, filmed, strict=True)]
    check_names([view.name for view in seen])
    longest = max((len(film.frames) for film in filmed), default=0)
    check_frame_rates({one.name: film.image_name(film.frames[0]) for one, film in zip(seen, filmed)}, longest)
    return list(seen)


def _check_order(seen: Sequence[SeenView], filmed: Sequence[View]) -> None:
    """Refuse footage with the names of the joints' views in another order; spelling may differ."""
    films, joints = [plain_name(view.name) for view in filmed], [plain_name(view.name) for view in seen]
    if not set(films) & set(joints):  # programs add a prefix or suffix to names
        films, joints = (differing_parts([view.name for view in views]) for views in (filmed, seen))
    place = {name: n for n, name in enumerate(films)}
    wanted = [place.get(name) for name in joints]
    named = [n for n in wanted if n is not None]
    if len(place) < len(filmed) or len(set(named)) < len(named) or all(n in (None, i) for i, n in enumerate(wanted)):
        return
    others = iter(n for n in range(len(filmed)) if n not in named)
    ordered = [filmed[next(others) if n is None else n] for n in wanted]
    raise UsageError(
        f"--views: in another order than the joints, which are of {', '.join(view.name for view in seen)}; give --views"
        f" {' '.join(str(view.path) for view in ordered)}"
    )


def _from_zero(seen: Sequence[SeenView], filmed: Sequence[View]) -> list[SeenView]:
    """Return the views with frames numbered from 0 if all of them number the frames of their videos from 1."""
    spans = [(min(view.people, default=0), max(view.people, default=0)) for view in seen]
    if not filmed or any(
        film.files or span != (1, len(film.frames)) for film, span in zip(filmed, spans, strict=True)
    ):  # fmt: skip
        return list(seen)
    say("the joints' frames are numbered from 1, those of videos from 0: each is taken as one less")
    return [replace(view, people={frame - 1: people for frame, people in view.people.items()}) for view in seen]


def _check_one_body(seen: Sequence[SeenView]) -> tuple[list[SeenView], Skeleton]:
    """Return the views and the skeleton of all their joints, and say which it is where files do not name the joints.

    Raises:
        InputError: The views have different skeletons.
    """
    seen = _fill_empty_views(seen)
    body = seen[0].skeleton
    if any(view.skeleton.joints != body.joints for view in seen):
        bodies = ", ".join(f"{view.name} {view.skeleton.name} ({len(view.skeleton)})" for view in seen)
        raise InputError(f"views with other joints: {bodies}")
    if any(view.judged and _anybody(view) for view in seen):
        say(f"the files do not name joints; by the people's bones their order is {body.name} (else: --skeleton)")
    if any(view.left_out for view in seen):
        say(f"of whole bodies the body's {len(body)} joints are taken; those of face and hands are left out")
    return seen, body


def _fill_empty_views(seen: Sequence[SeenView]) -> list[SeenView]:
    """Return the views; empty ones get the skeleton of the others, for their files do not tell the number of joints."""
    known = [view.skeleton for view in seen if _anybody(view)]
    if not known:
        return list(seen)
    nobody = np.empty((0, len(known[0]), 2)), np.empty((0, len(known[0])))
    return [
        view if _anybody(view) else replace(view, skeleton=known[0], people=dict.fromkeys(view.people, nobody))
        for view in seen
    ]


def _anybody(view: SeenView) -> bool:
    return any(len(xy) for xy, _ in view.people.values())


def _view(seen: SeenView, filmed: View | None, size: tuple[int, int] | None) -> View:
    """Return the view of the images that joints were found in; without footage only its size is known.

    Raises:
        InputError: Joints lie outside of the images or are of frames that the footage does not have, or sizes differ.
        UsageError: The size of the images is not known.
    """
    size = _size_of(seen, filmed, size)
    _check_places(seen, size)
    frames = tuple(sorted(seen.people))
    if filmed is None:
        return View(seen.name, Path(seen.name), frames, (), size)
    if strange := set(frames) - set(filmed.frames):
        late = max(strange) == filmed.frames[-1] + 1 and min(frames) == filmed.frames[0] + 1
        hint = "; the joints seem to be numbered from 1, the footage from 0" if late else ""
        raise InputError(
            f"{filmed.path}: has frames {filmed.frames[0]}-{filmed.frames[-1]}, the joints of {seen.name} are of frame"
            f" {min(strange)} too{hint}"
        )
    if len(frames) < len(filmed.frames):
        warn(f"view {seen.name}: joints for {len(frames)} of {len(filmed.frames)} frames")
    return replace(filmed, name=seen.name)


def _size_of(seen: SeenView, filmed: View | None, size: tuple[int, int] | None) -> tuple[int, int]:
    said = {"the footage": filmed.image_size if filmed else None, "--size": size, "the file of joints": seen.size}
    known = {what: found for what, found in said.items() if found}
    if not known:
        raise UsageError(
            f"{seen.name}: the files do not say how large the images are; give --views footage or --size WxH"
        )
    if len(set(known.values())) > 1:
        sizes = ", ".join(f"{what} says {width}x{height}" for what, (width, height) in known.items())
        raise InputError(f"{seen.name}: images of different sizes: {sizes}; the joints must be of the images given")
    return next(iter(known.values()))


def _check_places(seen: SeenView, size: tuple[int, int]) -> None:
    """Check that joints lie in images of this size, and warn if they fill only a corner of them.

    Raises:
        InputError: The coordinates are normalised, the images are turned, or too many joints lie far outside.
    """
    xy = np.concatenate([np.empty((0, 2)), *(xy.reshape(-1, 2) for xy, _ in seen.people.values())])
    xy = xy[np.isfinite(xy).all(axis=-1)]
    if not len(xy):
        return
    if np.abs(xy).max() <= _NORMALISED:
        raise InputError(
            f"{seen.name}: the joints lie between {xy.min():.2g} and {xy.max():.2g}, which are normalised coordinates;"
            " pixels are needed (OpenPose: without --keypoint_scale)"
        )
    places = xy / size
    _check_turn(seen, size)
    outside = ((places > 1 + _FAR) | (places < -_FAR)).any(axis=-1).mean()
    if outside > _MOST_FAR:
        raise InputError(f"{seen.name}: {outside:.0%} of the joints lie far outside of {size[0]}x{size[1]} images")
    right, bottom = np.quantile(places, 0.995, axis=0).tolist()
    if max(right, bottom) < _CORNER and sum(len(xy) > 0 for xy, _ in seen.people.values()) >= _MANY_FRAMES:
        warn(
            f"view {seen.name}: joints lie in the left {right:.0%} and the upper {bottom:.0%} of {size[0]}x{size[1]}"
            " images only; if they were found in smaller images, or in a part of these, give its size and footage"
        )


def _check_turn(seen: SeenView, size: tuple[int, int]) -> None:
    """Check that joints were found in images of this orientation, not in images on their side.

    Phones store upright videos on their side, with a flag to turn them, which some programs ignore.

    Raises:
        InputError: The joints fit images that are turned by 90 degrees.
    """
    sure = np.concatenate([np.empty(0), *(people[1].ravel() for people in seen.people.values())])
    xy = np.concatenate([np.empty((0, 2)), *(people[0].reshape(-1, 2) for people in seen.people.values())])
    xy = xy[sure >= np.median(sure[sure > 0])] if (sure > 0).any() else xy  # detectors guess joints outside
    xy = xy[np.isfinite(xy).all(axis=-1)]
    if not len(xy):
        return
    here, turned = (((xy < 0) | (xy >= space)).any(axis=-1).mean() for space in (size, size[::-1]))
    if here > _TURNED and turned < _TURNED * here:
        width, height = size
        raise InputError(
            f"{seen.name}: {here:.0%} of the joints lie outside of {width}x{height} images, and hardly any outside of"
            f" {height}x{width}: they were found in frames that were not turned as these are; find them anew in turned"
            " frames (`ffmpeg -i VIDEO turned.mp4` turns a phone's), or give footage that lies as theirs did"
        )
