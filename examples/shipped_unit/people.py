"""What `make.sh` renders: for each person a motion of mixed motion capture poses, and five cameras anywhere around.

    python people.py MOCAP.npz FOLDER PEOPLE FRAMES [FIRST_SEED] [--as-they-are]

writes FOLDER/SEED/motion.npz and FOLDER/SEED/rig.toml for each seed. With --as-they-are poses are not mixed.
"""

import sys
from pathlib import Path

import numpy as np

from epitool.camera import Rig
from epitool.io.cameras import write_rig
from epitool.io.npz import write_arrays
from epitool.nn.looks import BODY
from epitool.nn.mocap import Mixing, mixed_poses
from epitool.skeleton import convert_joints, skeleton
from epitool.stages.refine.inputs import mocap_poses
from epitool.synthetic.rigs import camera_looking_at

CAMERAS, SIDE = 5, 512
HIPS = 950.0  # mm, what cameras look at


def rig(rng: np.random.Generator) -> Rig:
    """Cameras with square images at 2.6 to 5 m, from knee height to above the head, the nearer the wider."""
    cameras = []
    for number in range(1, CAMERAS + 1):
        yaw, distance, height = rng.uniform(0, 2 * np.pi), rng.uniform(2600, 5000), rng.uniform(300, 2800)
        place = np.array([distance * np.cos(yaw), distance * np.sin(yaw), height])
        focal = rng.uniform(0.9, 1.3) * SIDE * (distance / 4400) ** 0.7
        target = np.array([*rng.normal(0, 150, 2), HIPS])
        cameras.append(camera_looking_at(f"cam{number}", place, target, float(focal), (SIDE, SIDE)))
    return Rig(tuple(cameras), "mm", "made up")


def main() -> None:
    """Writes one folder a person."""
    mixed = "--as-they-are" not in sys.argv
    mocap, folder, people, frames, *first = [given for given in sys.argv[1:] if not given.startswith("--")]
    poses, body = mocap_poses(Path(mocap)), skeleton("h36m17")
    for seed in range(int(first[0]) if first else 0, (int(first[0]) if first else 0) + int(people)):
        rng = np.random.default_rng(seed)
        count = int(frames)
        drawn = mixed_poses(poses, count, Mixing(), rng) if mixed else poses[rng.integers(len(poses), size=count)]
        xyz, _ = convert_joints(drawn, np.ones(drawn.shape[:2]), BODY, body)
        path = Path(folder) / f"{seed:04d}"
        path.mkdir(parents=True, exist_ok=True)
        # a clip of its own for each pose, so that each faces another way
        arrays = {"xyz_mm": xyz, "joints": np.array(body.joints), "clip_index": np.arange(len(xyz))}
        write_arrays(path / "motion.npz", arrays)
        write_rig(path / "rig.toml", rig(rng))


main()
