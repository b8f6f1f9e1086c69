"""Labels of one person after the other, each a chunk of frames at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from epitool.camera import Rig, Window
from epitool.geometry.triangulation.labels import (
    LabelSettings,
    chunk_bounds,
    convert_labels,
    label_chunk,
    label_settings,
    select_further_joints,
)
from epitool.io.keypoints_h5 import KeypointsFile
from epitool.io.labels_h5 import LabelsWriter
from epitool.labels import Further, Labels, Take
from epitool.options import TriangulateOptions
from epitool.parallel import stream_parallel
from epitool.pose import Keypoints
from epitool.skeleton import Skeleton
from epitool.stages.shared.people import Chosen
from epitool.stages.triangulate.checks import Tally, label_usual_poses
from epitool.stages.triangulate.chunks import Chunk, chunks_of, resample_in_sync, resampled, sample_of

Labeller = Callable[[Chunk], tuple[Labels, Further | None]]


@dataclass(frozen=True, eq=False)
class Labelling:
    """What the labels of everyone in a recording have in common.

    Attributes:
        windows: Cameras for each range of frames.
        target: Skeleton of the labels.
        options: Options of the command.
    """

    windows: list[Window]
    target: Skeleton
    options: TriangulateOptions

    @property
    def rig(self) -> Rig:
        """Cameras that the labels file names."""
        return self.windows[0].rig

    def write(
        self, reader: KeypointsFile | Chosen, writer: LabelsWriter, done: Callable[[int], None],
        sample: Keypoints | None = None,
    ) -> Labelled:  # fmt: skip
        """Write one person's labels.

        Args:
            reader: The person's joints.
            writer: The person's place in the file.
            done: Called with the number of frames of every chunk that is written.
            sample: The joints that determine the settings (`sample_of`), where they are there already.

        Raises:
            GeometryError: No bone has both ends in enough frames, and bone lengths are asked for.
        """
        options, rig = self.options, self.rig
        sample = sample_of(reader, self.windows) if sample is None else sample
        settings = label_settings(
            sample, rig, method=options.method or "polynomial", combine=options.combine, bones=options.bones
        )
        usual = label_usual_poses(sample, resampled(rig), settings)
        takes = tuple(map(_take, self.windows)) if len(self.windows) > 1 else ()
        tally = Tally(len(reader), rig, convert_labels(usual, self.target).poses)
        chunks = chunks_of(reader, self.windows, chunk_bounds(len(reader), len(rig), len(sample.skeleton)))
        for labels, further in stream_parallel(labeller(rig, settings, self.target, takes), chunks, options.jobs):
            writer.append(labels, further)
            tally.add(labels)
            done(len(labels.poses.frames))
        return Labelled(settings, usual, tally)


@dataclass(frozen=True, eq=False)
class Labelled:
    """What is known of one person's labels, which are written.

    Attributes:
        settings: Settings with which they were made.
        usual: Labels of some frames, with all joints that were detected.
        tally: Statistics of all of them.
    """

    settings: LabelSettings
    usual: Labels
    tally: Tally


def labeller(rig: Rig, settings: LabelSettings, target: Skeleton, takes: tuple[Take, ...]) -> Labeller:
    """Return a function that computes the labels and further joints of one chunk, and can be sent to a process.

    Args:
        rig: Cameras that the labels file names.
        settings: Settings for the whole recording.
        target: Skeleton of the labels.
        takes: Takes of the recording, if the cameras differ between chunks.
    """

    def work(chunk: Chunk) -> tuple[Labels, Further | None]:
        joints = resample_in_sync(chunk)
        if chunk.rig is None:
            joints = replace(joints, xy=np.full_like(joints.xy, np.nan))
        labels = label_chunk(joints, resampled(chunk.rig or rig), settings)
        if takes:
            numbered = replace(labels.keypoints, take_of=np.full(len(joints.frames), chunk.window or 0))
            labels = replace(labels, rig=resampled(rig), takes=takes, keypoints=numbered)
        return convert_labels(labels, target), select_further_joints(labels, target)

    return work


def _take(window: Window) -> Take:
    return Take(window.name or f"frames {window.first}-{window.last}", resampled(window.rig), window.action)
