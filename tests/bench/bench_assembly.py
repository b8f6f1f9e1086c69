"""Memory and time of what `detect2d` does with a long recording once its detector has seen all: choose, name, write.

`python tests/bench/bench_assembly.py 200000` stands for so many frames of four views with one person of 33 joints in
each, which no detector could give in a bench's time: the arrays are drawn, all else is `detect2d`'s own.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from epitool.images import View
from epitool.skeleton import skeleton
from epitool.stages.shared.assembling import Assembly, Found

VIEWS = 4


def found_in(frames: int, joints: int, seed: int) -> Found:
    """One person in every frame of a view, somewhere."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, 1000, (frames, joints, 2)).astype(np.float32)
    return Found(np.arange(frames), np.ones(frames, dtype=np.intp), xy, np.ones((frames, joints), dtype=np.float32))


def main() -> None:
    """Prints a row."""
    frames, body = int(sys.argv[1]), skeleton("blazepose33")
    views = [View(f"cam{v}", Path(f"cam{v}.mp4"), tuple(range(frames)), (), (1920, 1080)) for v in range(VIEWS)]
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        people = Assembly(views, [found_in(frames, len(body), v) for v in range(VIEWS)], body)
        tally = people.write(Path(folder) / "keypoints.h5", "bench")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(f"| {frames} x {VIEWS} | {time.perf_counter() - begin:.1f} s | {most:.0f} MB | {tally.found.sum()} people |")


if __name__ == "__main__":
    main()
