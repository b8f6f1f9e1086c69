"""Texts for doubts about cameras: what was found, which limit it exceeds, and what helps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from epitool.console import counted
from epitool.geometry.doubts import LEVELS, READINGS, UNSURE, Doubt, Kind, Level, worst_level

if TYPE_CHECKING:  # commands that only read a verdict need not wait for the compiler of the geometry
    from epitool.geometry.calibration.verdict import Verdict

_SAME_PERSON = "is it in sync, and of the same person?"
_NOT_WHERE = "its joints do not lie where the other cameras say"
_FIT_IF = "joints would fit within {closer:.1f} px if "
_FEW_FOUND = "only {value:.0%} of its people are found in other views"
_SAME_PEOPLE = "is it in sync, of the same people, and not mirrored?"
_RECORDING = "is it one of this recording, in sync, and not mirrored?"
_WHOLE_LENGTH = 1000.0  # lengths from this on are shown in whole units
_FINE = 0.2  # shares below this are shown with a decimal
_CAMERA = "camera "  # how the line of a camera begins
_MEANS = (
    "Even with uncertain cameras the shape of the poses is nearly right; the positions and directions of the"
    " cameras are uncertain by the stated amounts"
)
_LENSES = "the likely cause is the lenses: "
_MEASURED = (
    "With lenses measured on a calibration pattern (--intrinsics), rotations would be uncertain by {known:.2g} degrees"
)
_OF_CAMERA = (*UNSURE, Kind.OUTLIERS)
_WORDS = {
    Kind.STATED_FOCAL: "view {view}: the joints make its focal length {value:.2f} of what is stated; are its intrinsics"
    " of this lens, zoom and image size? Only if they are not: --refine-intrinsics",
    Kind.LENSES: _LENSES + "nobody has measured them. " + _MEASURED,
    Kind.WIDE: _LENSES
    + "they seem to bend straight lines as a wide action camera does (k1 about {value:.2f}). "
    + _MEASURED,
    Kind.NOISE: "joints scatter by {share} of the person's size ({limit:.0%}); are the views in sync?",
    Kind.BONES: "bones change their length by {share} ({limit:.0%}); are the lenses as stated, and is no view"
    " mirrored?",
    Kind.PARALLAX: "the views see joints under {value:.1f} degrees at most ({limit_degrees}); set the cameras further"
    " apart",
    Kind.FLAT: "the joints might lie in a plane, which leaves places open; let people move",
    Kind.SAME: "views {views} see the same; is one video given twice?",
    Kind.TWO_MATCHINGS: "who in one view is who in the other can be read in two ways that fit nearly as well; a third"
    " view would tell",
    Kind.STRANGERS: "view {view}: " + _FEW_FOUND + " ({limit:.0%}); " + _SAME_PEOPLE,
    Kind.FEW_FRAMES: "only {value:.0f} frames show joints in two views",
    Kind.MOVED: "joints may be off by {off} {unit}: they scatter by {value:.1f} px, and by {closer:.1f} if the"
    " cameras are moved a little ({which} {degrees:.1f} degrees); was one moved since they were calibrated, or are the"
    " views out of sync?",
    Kind.OTHER_LENSES: "joints may be off by {off} {unit}: they scatter by {value:.1f} px, and by {closer:.1f} if"
    " all focal lengths are {factor:.2f} of what the file states; are the images a part of those that the cameras are"
    " for (cropped, not made smaller), or taken with another zoom or mode?",
    Kind.CONVENTION: _FIT_IF
    + "{why}; needed are x_camera = R x_world + t, t = -R c of a camera at c, and axes x right,"
    " y down, z forward (`epitool convert --inverse` turns cameras that are camera to world)",
    Kind.OTHER_SIZE: _FIT_IF + "K is multiplied by {factor:.3g}: is it for images of another size? State that size in"
    " the file",
    Kind.OTHER_UNIT: _FIT_IF + "t of {view} is multiplied by {factor:g}: is it in another unit (m, cm, mm)?",
    Kind.EXCHANGED_NAMES: _FIT_IF + "names of cameras are exchanged: {why}",
    Kind.UNDISTORTED: "joints may be off by {off} {unit}: they scatter by {value:.1f} px, and by {closer:.1f}"
    " without the distortion that is stated; were the images undistorted already? Then take it out of the file",
    Kind.DRIFT: "the views run apart: over {span:.0f} frames {fast} gets {value:.1f} frames ahead of {slow}; were they"
    " recorded at different rates, as 59.94 and 60, or are frames missing? Convert the videos to one rate first"
    " (`ffmpeg -i VIDEO -fps_mode cfr -r RATE even.mp4`)",
    Kind.SHIFT: "{views} out of sync by {value:.1f} frames? The joints would fit {closer:.1f} times closer: are frames"
    " numbered alike, and is none missing or shown twice? `epitool calibrate --sync` finds offsets, with --extrinsics"
    " those of known cameras",
    Kind.CONTRADICTED: "{views} alone: {value:.2f} frames, against the other pairs; left out",
    Kind.OFFSET: "view {view}: offset in time uncertain by {value:.2f} frames ({limit:g}); more movement helps",
    Kind.BEYOND_REACH: "view {view}: its offset of {value:+.1f} frames is beyond the {limit:.0f} that were looked for;"
    " --sync-reach looks farther",
    Kind.VERTICAL: "the vertical is uncertain by {value:.1f} degrees ({limit_degrees}); let a person walk about",
    Kind.LEAN: "the body leans {value:.0f} degrees on the floor that the feet tell",
}
_WHY = {
    Kind.UNPLACED: "{why}",
    Kind.STILL: "its joints do not move while those of other views do; is its recording frozen?",
    Kind.MISFIT: "only {value:.0%} of its {joints:.0f} joints fit the other views; is it in sync, of the same person,"
    " and not mirrored?",
    Kind.OUTLIERS: "{value:.0%} of its keypoints do not fit the other views; " + _SAME_PERSON,
    Kind.ELSEWHERE: _NOT_WHERE + "; they would if it stood {way} {unit} from where the file says, turned by"
    " {degrees:.1f} degrees; was it moved since, has it another lens or zoom, is the file of another recording, or are"
    " joints of two people mixed in this view?",
    Kind.OTHER_UNIT: _NOT_WHERE
    + "; they would if its t were multiplied by {factor:g}: is it in another unit than those"
    " of the others?",
    Kind.NOWHERE: _NOT_WHERE + ", nor would they from any other place; " + _RECORDING,
    Kind.UNKNOWN_PLACE: _NOT_WHERE + "; " + _RECORDING,
    Kind.STRANGERS: _FEW_FOUND + "; " + _SAME_PEOPLE,
    Kind.NO_CAMERA: "the camera file has none of that name",
}


@dataclass(frozen=True)
class Asked:
    """The settings that the texts depend on besides what was found.

    Attributes:
        millimetres: Millimetres per unit of the rig that was judged; None if unknown.
        lenses_given: Whether the user gave the lenses.
    """

    millimetres: float | None = None
    lenses_given: bool = False

    @property
    def unit(self) -> str:
        """Unit of lengths in a text."""
        return "mm" if self.millimetres else "units of the file"

    @property
    def cure(self) -> str:
        """Advice that reduces the uncertainty of cameras."""
        return "more movement or more views help" if self.lenses_given else "more movement or --intrinsics helps"


@dataclass(frozen=True)
class Said:
    """A verdict in words.

    Attributes:
        level: Level of the verdict.
        reasons: One line per camera, one per doubt that concerns all cameras, and one for what uncertain cameras mean;
            the worst first.
    """

    level: Level
    reasons: tuple[str, ...]

    @property
    def text(self) -> str:
        """The reasons in one line, for an error."""
        return sentences(shortened(self.reasons))


def sentences(reasons: Sequence[str]) -> str:
    """Return reasons one after the other in one line, each with its full stop; a file's name keeps its letters.

    >>> sentences(["view a: is left out", "is it in sync?"])
    'view a: is left out. Is it in sync?'
    """
    capital = [reason[:1].upper() + reason[1:] if reason.split(" ")[0].isalpha() else reason for reason in reasons[1:]]
    return " ".join(reason if reason[-1:] in ".?!" else f"{reason}." for reason in [*reasons[:1], *capital])


def shortened(reasons: Sequence[str], rest: str = "") -> list[str]:
    """Return reasons with one line for all cameras: how many are doubtful, and what is doubtful about the worst.

    Args:
        reasons: Reasons as `Said` has them.
        rest: Words that say where the lines of the other cameras are; empty if they need not be named.
    """
    of_cameras = [reason for reason in reasons if reason.startswith(_CAMERA)]
    if len(of_cameras) < 2:
        return list(reasons)
    line = f"{len(of_cameras)} cameras are doubtful, most of all {of_cameras[0].removeprefix(_CAMERA)}"
    first = reasons.index(of_cameras[0])
    kept = [reason for reason in reasons if reason not in of_cameras]
    return [*kept[:first], f"{line}; {rest}" if rest else line, *kept[first:]]


def passed_on(reasons: Sequence[str], rest: str) -> list[str]:
    """Return reasons as a later command states them: shortened, and without advice for the one that found them."""
    return [reason for reason in shortened(reasons, rest) if not reason.startswith((_MEANS, _LENSES))]


def select_first(reasons: Sequence[str], rest: str) -> str:
    """Return the first of the shortened reasons, the number of further ones, and in which place they are."""
    first, *more = passed_on(reasons, rest) or ["no reason is stated"]
    if not more:
        return first
    return f"{sentences([first])} {counted(len(more), 'more reason')}: {rest}"


def word_verdict(verdict: Verdict, asked: Asked, also: Sequence[tuple[Level, str]] = ()) -> Said:
    """Put a verdict into words.

    Args:
        verdict: The verdict on the cameras.
        asked: Settings that the texts depend on.
        also: Level and text of further doubts of a command; those with the level "pass" are left out.
    """
    lines: list[tuple[Level, str]] = [
        ("warn", f"view {name}: is left out: {why}") for name, why in omission_texts(verdict.left_out, asked).items()
    ]
    by_camera: dict[str, list[Doubt]] = {}
    for doubt in verdict.doubts:
        if doubt.kind in _OF_CAMERA:
            by_camera.setdefault(doubt.views[0], []).append(doubt)
    level = worst_level([verdict.level, *(own for own, _ in also)])
    of_cameras = sorted(by_camera.items(), key=lambda item: _excess(item[1]), reverse=True)
    lines += [_word_camera_doubts(name, doubts, asked) for name, doubts in of_cameras]
    kinds = {doubt.kind for doubt in verdict.doubts}
    if level == "warn" and kinds & set(UNSURE):
        lines.append(("warn", _MEANS if kinds & {Kind.LENSES, Kind.WIDE} else f"{_MEANS}; {asked.cure}"))
    lines += [(doubt.level, doubt_text(doubt, asked)) for doubt in verdict.doubts if doubt.kind not in _OF_CAMERA]
    lines += also
    return Said(level, tuple(text for own in ("fail", "warn") for found, text in lines if found == own))


def omission_texts(left_out: Mapping[str, Doubt], asked: Asked) -> dict[str, str]:
    """Return in words why views could not be placed, by their names."""
    return {name: omission_text(doubt, asked) for name, doubt in left_out.items()}


def omission_text(doubt: Doubt, asked: Asked) -> str:
    """Return in words why a view could not be placed."""
    way = _length_word(doubt.value, asked)
    return _WHY[doubt.kind].format(value=doubt.value, way=way, why=doubt.why, unit=asked.unit, **doubt.numbers)


def _degrees(value: float) -> str:
    return f"{value:g} degree{'s' * (value != 1)}"


def doubt_text(doubt: Doubt, asked: Asked = Asked()) -> str:
    """Put a doubt into words that is not about how well a single camera is known."""
    views = doubt.views or ("",)
    named = {"view": views[0], "views": " and ".join(views), "fast": views[0], "slow": views[-1]}
    which = "against each other by" if len(views) > 1 else f"most {views[0]}, by"
    text = _WORDS[doubt.kind].replace("({limit", "(" + _limit_word(doubt.level) + "{limit")
    values = {"value": doubt.value, "limit": doubt.limit, "why": doubt.why, "which": which, "unit": asked.unit}
    values |= {"limit_degrees": _degrees(doubt.limit), "share": _share(doubt.value)}
    values |= {name: _length_word(number, asked) if name == "off" else number for name, number in doubt.numbers.items()}
    return text.format(**values, **named)


def _length_word(length: float, asked: Asked) -> str:
    """Format a length of the rig that was judged, in mm where its unit is known."""
    own = length * (asked.millimetres or 1.0)
    return f"{own:.0f}" if own >= _WHOLE_LENGTH else f"{own:.3g}"


def _limit_word(level: Level) -> str:
    """Return how to name the limit that a doubt of this level exceeds."""
    return "limit: " if level == "fail" else "limit for 'pass': "


def _word_camera_doubts(name: str, doubts: Sequence[Doubt], asked: Asked) -> tuple[Level, str]:
    """Return one line for all doubts about a camera, and the level of the worst."""
    text = f"{_CAMERA}{name}: {'; '.join(_clause(doubt, asked) for doubt in doubts)}"
    if any(doubt.kind is Kind.OUTLIERS for doubt in doubts):
        text += f"; {_SAME_PERSON}"
    return worst_level(doubt.level for doubt in doubts), text


def _excess(doubts: Sequence[Doubt]) -> tuple[int, float]:
    """Return the worst level of a camera's doubts, and how many times their values are the limits of that level."""
    level = max(LEVELS.index(doubt.level) for doubt in doubts)
    return level, max(doubt.value / doubt.limit for doubt in doubts if LEVELS.index(doubt.level) == level)


def _clause(doubt: Doubt, asked: Asked) -> str:
    """Put one doubt about a camera into words."""
    limit = _limit_word(doubt.level)
    if doubt.kind is Kind.ROTATION:
        return f"rotation uncertain by {doubt.value:.1f} degrees ({limit}{_degrees(doubt.limit)})"
    if doubt.kind is Kind.FOCAL:
        return f"focal length uncertain by {_share(doubt.value)} ({limit}{doubt.limit:.0%})"
    if doubt.kind is Kind.OUTLIERS:
        return f"{doubt.value:.0%} of its keypoints do not fit the other views ({limit}{doubt.limit:.0%})"
    if asked.millimetres:
        by = f"{doubt.numbers['length'] * asked.millimetres:.0f} mm"
        return f"position uncertain by {by} ({limit}{doubt.limit:.0%} of the camera spacing)"
    return f"position uncertain by {_share(doubt.value)} of the camera spacing ({limit}{doubt.limit:.0%})"


def _share(value: float) -> str:
    """Format a share in percent, with a decimal where rounding could hide on which side of a limit it is."""
    return f"{value:.1%}" if value < _FINE else f"{value:.0%}"


def refusal_text(verdict: Verdict, asked: Asked, also: Sequence[str] = ()) -> str:
    """Return why no cameras are written, including further doubts of a command, and two things to try.

    A doubt that tells what a file of cameras means needs nothing else to try.
    """
    said = word_verdict(verdict, asked, [("warn", text) for text in also])
    fails = {doubt.kind for doubt in verdict.doubts if doubt.level == "fail"}
    if fails <= set(UNSURE):
        lenses = (
            "add a view, or set the cameras further apart" if asked.lenses_given else "give the lenses (--intrinsics)"
        )
        cure = f"let the person walk through more of the space that all views see; {lenses}"
    else:
        cure = "check that the views show the same person at the same time (--sync finds offsets)"
        cure += "" if asked.lenses_given else "; give the lenses (--intrinsics)"
    refused = f"no cameras to be trusted, and nothing is written: {said.text}"
    return refused if fails & set(READINGS) else f"{refused} Try: {cure}"
