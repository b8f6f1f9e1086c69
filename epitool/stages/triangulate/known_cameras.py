"""Given cameras: their assignment to views, and whether they fit the joints."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from epitool.camera import Window
from epitool.errors import GeometryError
from epitool.geometry.calibration.known_cameras import judge_known
from epitool.geometry.calibration.verdict import Verdict
from epitool.geometry.doubts import READINGS, Doubt, Kind, doubt_of_unplaced
from epitool.geometry.timing.drift import doubts_of_drift, motion_of_views
from epitool.geometry.timing.shifts import doubts_of_shifts
from epitool.io.keypoints_h5 import KeypointsFile
from epitool.pose import Keypoints
from epitool.stages.shared import camera_names
from epitool.stages.shared.camera_checks import fit_rigs
from epitool.stages.shared.doubts import doubt_text
from epitool.stages.shared.people import Chosen, choose_by_geometry, warn_of_people
from epitool.stages.triangulate.chunks import resampled, sample_of


@dataclass(frozen=True, eq=False)
class Fitting:
    """The cameras that fit the joints of a recording, and those joints.

    Attributes:
        reader: Joints of the person whom all views agree on.
        windows: Cameras for each range of frames.
        sample: Joints of some frames, synchronized.
        verdict: Verdict on these cameras.
        left_out: Views without a camera, and the reasons.
    """

    reader: KeypointsFile | Chosen
    windows: list[Window]
    sample: Keypoints
    verdict: Verdict
    left_out: dict[str, Doubt]


def windows_of_views(source: KeypointsFile, cameras: Path) -> list[Window]:
    """Return the cameras of the keypoints' views, for each range of frames.

    Raises:
        InputError: The file cannot be read, is for other images, or has fewer than two of the cameras.
        GeometryError: There is only one view.
    """
    if len(source.views) < 2:
        raise GeometryError(f"{source.path}: one view ({', '.join(source.views)}); triangulation needs two or more")
    windows = camera_names.windows_of_views(cameras, source.views, str(source.path))
    order = [name for name in windows[0].rig.names if name in source.views]  # the calibration's order of neighbours
    sizes = dict(zip(source.views, map(tuple, source.image_size.tolist()), strict=True))
    rigs = fit_rigs([window.rig.select(order) for window in windows], [sizes[name] for name in order], cameras)
    return [replace(window, rig=rig) for window, rig in zip(windows, rigs, strict=True)]


def leave_out_misfits(source: KeypointsFile, windows: list[Window], cameras: Path, jobs: int) -> Fitting:
    """Leave out the cameras that do not fit the joints, as long as two others remain.

    With several people in view, the choice of the person depends on the cameras. Whenever a camera is left out, the
    person is therefore chosen again. Moving cameras were computed from the joints themselves and are not checked.

    Raises:
        GeometryError: The joints fit another reading of the cameras' file, so nothing that follows from it as it is
            needs to be said.
    """
    nameless = [name for name in source.views if name not in windows[0].rig.names]
    left_out = {name: Doubt(Kind.NO_CAMERA, "warn", (name,)) for name in nameless}
    while True:
        rig = windows[0].rig
        reader = _reader(source, windows)
        nowhere = reader.views_without_the_person() if isinstance(reader, Chosen) else {}
        if nowhere and len(rig) - len(nowhere) >= 2:
            left_out |= {name: doubt_of_unplaced(name, why) for name, why in nowhere.items()}
            windows = _without(windows, nowhere)
            continue
        sample = sample_of(reader, windows)
        if len(windows) > 1:
            return Fitting(reader, windows, sample, Verdict(), left_out)
        verdict = judge_known(sample, resampled(rig), jobs, left_out)
        _refuse_other_readings(verdict, cameras)
        if not verdict.strangers:
            own = resampled(rig)
            motions = motion_of_views(sample, own)
            verdict = verdict.with_doubts([*doubts_of_drift(motions, own), *doubts_of_shifts(motions, own)])
            return Fitting(reader, windows, sample, verdict, left_out)
        left_out |= verdict.strangers
        windows = _without(windows, verdict.strangers)


def _refuse_other_readings(verdict: Verdict, cameras: Path) -> None:
    for doubt in verdict.doubts:
        if doubt.kind in READINGS:
            raise GeometryError(f"{cameras}: does not fit the joints, and nothing is written: {doubt_text(doubt)}")


def _reader(source: KeypointsFile, windows: Sequence[Window]) -> KeypointsFile | Chosen:
    """Return the joints of the person that all views agree on."""
    if len(windows) > 1 or any(camera.time_offset for camera in windows[0].rig.cameras):
        several = "several takes" if windows[0].name else "cameras that move"
        warn_of_people(source.path, several if len(windows) > 1 else "cameras that are out of sync")
        return source
    return choose_by_geometry(source, windows[0].rig) or source


def _without(windows: Sequence[Window], names: Collection[str]) -> list[Window]:
    kept = [name for name in windows[0].rig.names if name not in names]
    return [replace(window, rig=window.rig.select(kept)) for window in windows]
