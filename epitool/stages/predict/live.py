"""`epitool predict` of a stream: the pose in its newest frame, again and again, as JSON lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from epitool.console import Summary, counted, say, warn
from epitool.errors import InputError
from epitool.io.pose_lines import PoseLines
from epitool.options import PredictOptions
from epitool.pose import Predictions
from epitool.stages.predict.answering import Answerer, answer_image, held_out_error_text, who_answers
from epitool.stages.predict.stream import Frame, Stream, until_interrupted
from epitool.stages.shared.looking import Looking

Looks = Callable[[PredictOptions, Answerer], Callable[[Sequence[str], float | None], Looking]]


@dataclass
class _Tally:
    """What has been answered.

    Attributes:
        lines: Number of frames answered.
        poses: Number of these with a person.
        crowded: Number of these with several people.
        latency_s: Longest time from a frame's arrival to its line.
        newest: Predictions in the newest frame, which say what unit they are in and how they were made.
    """

    lines: int = 0
    poses: int = 0
    crowded: int = 0
    latency_s: float = 0.0
    newest: Predictions | None = None


def run_live(source: str, options: PredictOptions, height_mm: float | None, looks: Looks) -> Summary:
    """Predict the pose of one person in the newest frame of a stream, until the end or Ctrl-C.

    Args:
        source: A camera, an address or a pipe.
        options: Options of the command.
        height_mm: The person's height, if it is known.
        looks: Function that opens what finds people, for all frames.

    Raises:
        UsageError: The detector is not installed.
        InputError: There is no model, the stream cannot be opened, or the lines cannot be written.
        CheckpointError: The model or the refiner cannot be used.
    """
    who = who_answers(options)
    looks_at = looks(options, who)
    tally = _Tally()
    assert options.out is not None
    with until_interrupted() as stop, PoseLines(options.out) as lines, Stream(source) as stream:
        say(f"reading {stream.name} until it ends, or Ctrl-C is pressed")
        for frame in stream.frames(stop):
            looking = looks_at(["image"], frame.seconds)
            found = answer_image(who, frame.image, looking, options, height_mm)
            if not tally.lines:
                lines.begin(found, stream.name, stream.began)
            _write(lines, frame, found, tally)
            tally.crowded += bool(looking.crowded)
    return _summary(stream, tally, who, options, stop.is_set())


def _write(lines: PoseLines, frame: Frame, found: Predictions, tally: _Tally) -> None:
    latency = time.monotonic() - frame.arrived
    lines.add(found, {"frame": frame.number, "time": frame.seconds, "latency": latency, "dropped": frame.dropped})
    tally.lines += 1
    tally.poses += len(found.images)
    tally.latency_s = max(tally.latency_s, latency)
    tally.newest = found


def _summary(stream: Stream, tally: _Tally, who: Answerer, options: PredictOptions, interrupted: bool) -> Summary:
    ended = f"it dropped out: {stream.broken}" if stream.broken else "stopped by Ctrl-C" if interrupted else "it ended"
    dropped = stream.arrived - tally.lines
    text = (
        f"{options.out}: {counted(tally.poses, 'pose')} by {who.words} in {tally.lines} of"
        f" {counted(stream.arrived, 'frame')} of {stream.name}; {dropped} dropped, for newer ones had come;"
        f" answers took up to {tally.latency_s:.2f} s; {ended}"
    )
    if not tally.lines:
        text = f"{stream.name}: no frame was answered and nothing written; {ended}"
    elif known := held_out_error_text(who):
        text += f"; {known}"
    if tally.crowded:
        warn(f"several people in {counted(tally.crowded, 'frame')}; the one seen best is answered for, and followed")
    values = {
        "out": str(options.out), "frames": stream.arrived, "answered": tally.lines, "dropped": dropped,
        "poses": tally.poses, "longest_latency": round(tally.latency_s, 3),
        "ended": "dropped out" if stream.broken else "interrupted" if interrupted else "end",
    }  # fmt: skip
    if tally.newest is not None:
        values |= {"unit": tally.newest.unit, **tally.newest.provenance}
    broken = InputError(f"{stream.name}: {stream.broken}; start again once it is back") if stream.broken else None
    return Summary(text, values, broken)
