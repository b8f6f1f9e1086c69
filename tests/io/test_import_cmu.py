"""CMU's motion capture, in small skeletons and clips made up here in its format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from test_cli import epitool, failing

from epitool.io.datasets.asf_amc import bone_ends, read_amc, read_asf
from epitool.io.pose_arrays import read_pose_arrays
from epitool.nn.crops import median_bone_lengths
from epitool.skeleton import skeleton
from epitool.stages.scoring.truth import part_of_clips

H36M = skeleton("h36m17")
MM = 25.4 / 0.45
# Of each bone: parent, direction, length, axis, degrees of freedom; arms out to the sides, y up, facing z.
BONES = {
    "lhipjoint": ("root", (0.6, -0.8, 0), 2.0, "0 0 0", ""),
    "lfemur": ("lhipjoint", (0, -1, 0), 7.0, "0 0 20", "rx ry rz"),
    "ltibia": ("lfemur", (0, -1, 0), 6.5, "0 0 20", "rx"),
    "rhipjoint": ("root", (-0.6, -0.8, 0), 2.0, "0 0 0", ""),
    "rfemur": ("rhipjoint", (0, -1, 0), 7.0, "0 0 -20", "rx ry rz"),
    "rtibia": ("rfemur", (0, -1, 0), 6.5, "0 0 -20", "rx"),
    "lowerback": ("root", (0, 1, 0), 2.0, "0 0 0", "rx ry rz"),
    "upperback": ("lowerback", (0, 1, 0), 2.0, "0 0 0", "rx ry rz"),
    "thorax": ("upperback", (0, 1, 0), 2.0, "0 0 0", "rx ry rz"),
    "lowerneck": ("thorax", (0, 1, 0), 1.5, "0 0 0", "rx ry rz"),
    "upperneck": ("lowerneck", (0, 1, 0), 1.5, "0 0 0", "rx ry rz"),
    "head": ("upperneck", (0, 1, 0), 2.0, "0 0 0", "rx ry rz"),
    "lclavicle": ("thorax", (0.8, 0.6, 0), 3.0, "0 0 0", "ry rz"),
    "lhumerus": ("lclavicle", (1, 0, 0), 5.0, "180 -30 -90", "rx ry rz"),
    "lradius": ("lhumerus", (1, 0, 0), 3.5, "180 -30 -90", "rx"),
    "rclavicle": ("thorax", (-0.8, 0.6, 0), 3.0, "0 0 0", "ry rz"),
    "rhumerus": ("rclavicle", (-1, 0, 0), 5.0, "180 30 90", "rx ry rz"),
    "rradius": ("rhumerus", (-1, 0, 0), 3.5, "180 30 90", "rx"),
    "rhand": ("rradius", (-1, 0, 0), 0.6, "0 -90 -90", "rx rz"),
}


def asf(order: str = "TX TY TZ RX RY RZ") -> str:
    data = "".join(
        f"  begin\n   id {n}\n   name {name}\n   direction {' '.join(map(str, d))}\n   length {length}\n"
        f"   axis {axis}  XYZ\n" + (f"   dof {dof}\n   limits (-90.0 90.0)\n" if dof else "") + "  end\n"
        for n, (name, (_, d, length, axis, dof)) in enumerate(BONES.items())
    )
    parents = dict.fromkeys(bone[0] for bone in BONES.values())
    tree = "".join(
        f"  {parent} {' '.join(name for name, bone in BONES.items() if bone[0] == parent)}\n" for parent in parents
    )
    return (
        "# made up\n:version 1.10\n:units\n  mass 1.0\n  length 0.45\n  angle deg\n:documentation\n  any words\n"
        f":root\n  order {order}\n  axis XYZ\n  position 0 0 0\n  orientation 0 0 0\n"
        f":bonedata\n{data}:hierarchy\n  begin\n{tree}  end\n"
    )


def amc(frames: list[dict[str, list[float]]], first: int = 1) -> str:
    """A motion; what a frame does not name is 0."""
    text = "#!OML:ASF nowhere\n:FULLY-SPECIFIED\n:DEGREES\n"
    counts = {"root": 6, **{name: len(bone[4].split()) for name, bone in BONES.items() if bone[4]}}
    for number, frame in enumerate(frames, first):
        rows = (f"{name} {' '.join(map(repr, frame.get(name, [0.0] * n)))}\n" for name, n in counts.items())
        text += f"{number}\n" + "".join(rows)
    return text


def moving(frames: int, seed: int) -> list[dict[str, list[float]]]:
    rng = np.random.default_rng(seed)
    counts = {"root": 6, **{name: len(bone[4].split()) for name, bone in BONES.items() if bone[4]}}
    return [{name: rng.normal(0, 25, n).tolist() for name, n in counts.items()} for _ in range(frames)]


@pytest.fixture
def database(here) -> Path:
    """Two subjects in the folders that the database has."""
    for subject, lengths in (("01", (9, 5)), ("12", (4,))):
        folder = here / "all_asfamc" / "subjects" / subject
        folder.mkdir(parents=True)
        (folder / f"{subject}.asf").write_text(asf())
        for n, length in enumerate(lengths, 1):
            (folder / f"{subject}_{n:02d}.amc").write_text(amc(moving(length, n)))
    return here / "all_asfamc"


def places(motion: dict[str, list[float]], names: list[str]) -> np.ndarray:
    Path("a.asf").write_text(asf())
    Path("a.amc").write_text(amc([motion]))
    bones = read_asf(Path("a.asf"))
    return bone_ends(bones, read_amc(Path("a.amc"), bones, 1), names)[0] / MM


def test_without_turns_bones_point_as_the_skeleton_says(here):
    found = places({}, ["ltibia", "head", "rradius"])
    np.testing.assert_allclose(found, [[1.2, -15.1, 0], [0, 11, 0], [-10.9, 7.8, 0]], atol=1e-12)


def test_a_bone_turns_about_its_own_axes(here):
    """The left thigh's x axis is (c, s, 0); what of (0, -7, 0) lies along it, -7 s (c, s, 0), stays, the rest turns."""
    found = places({"lfemur": [-90.0, 0, 0], "ltibia": [90.0]}, ["lfemur", "ltibia"])
    c, s = np.cos(np.radians(20)), np.sin(np.radians(20))
    knee = np.array([1.2 - 7 * s * c, -1.6 - 7 * s * s, 7 * c])
    np.testing.assert_allclose(found, [knee, knee - [0, 6.5, 0]], atol=1e-12)


def test_the_turns_are_about_x_then_y_then_z(here):
    """Head down to the front, turned to the left, tipped over about z."""
    found = places({"lowerback": [90.0, 90.0, 0], "root": [5.0, 6.0, 7.0, 0, 0, 90.0]}, ["lowerback", "rhipjoint"])
    np.testing.assert_allclose(found, [[0, 2, 0], [1.6, -1.2, 0]], atol=1e-12)


def test_a_turned_capture_is_a_turned_person(here):
    frame = moving(1, 3)[0]
    names = list(BONES)
    turn = Rotation.from_euler("xyz", [30, -50, 110], degrees=True)
    still, turned = (places({**frame, "root": [0, 0, 0, *angles]}, names) for angles in ([0, 0, 0], [30, -50, 110]))
    np.testing.assert_allclose(turned, turn.apply(still), atol=1e-12)


def test_the_roots_numbers_may_come_in_another_order(here):
    frame = moving(2, 3)
    bones, ends = {}, {}
    for name, order in (("a", "TX TY TZ RX RY RZ"), ("b", "RZ RX RY TZ TY TX")):
        Path(f"{name}.asf").write_text(asf(order))
        bones[name] = read_asf(Path(f"{name}.asf"))
    swapped = [{**one, "root": [one["root"][i] for i in (5, 3, 4, 2, 1, 0)]} for one in frame]
    for name, motion in (("a", frame), ("b", swapped)):
        Path(f"{name}.amc").write_text(amc(motion))
        ends[name] = bone_ends(bones[name], read_amc(Path(f"{name}.amc"), bones[name], 1), list(BONES))
    np.testing.assert_allclose(ends["a"], ends["b"], atol=1e-9)


def test_the_database_becomes_poses_at_30_a_second(database, here):
    result = epitool("import", "cmu", database)
    assert result.returncode == 0, result.stderr
    path = Path("cmu/poses.npz")
    found = read_pose_arrays(path)
    assert found.poses.skeleton.joints == H36M.joints
    assert (found.poses.unit, float(np.load(path)["fps"])) == ("mm", 30.0)
    assert np.load(path)["clip_names"].tolist() == ["01_01", "01_02", "12_01"]
    assert found.clips.tolist() == [0, 0, 0, 1, 1, 2]  # frames 1, 5 and 9; 1 and 5; 1
    assert found.subjects is not None
    assert found.subjects.tolist() == [1, 1, 1, 1, 1, 12]
    assert set(found.subjects[part_of_clips(found.subjects, "train")]) == {1}  # whole subjects, held apart as clips are
    xyz = found.poses.xyz
    assert not xyz[:, H36M.root].any()
    between = {"pelvis": ("hip",), "thorax": ("shoulder",), "spine": ("hip", "shoulder")}
    for joint, ends in between.items():
        made_of = [H36M.index(f"{side}_{end}") for side in ("left", "right") for end in ends]
        np.testing.assert_allclose(xyz[:, H36M.index(joint)], xyz[:, made_of].mean(axis=1), atol=1e-3)


def test_bones_keep_their_lengths(database, here):
    assert epitool("import", "cmu", database, "--every", "1").returncode == 0
    xyz = read_pose_arrays(Path("cmu/poses.npz")).poses.xyz
    assert len(xyz) == 18
    stated = {"knee": 7.0, "ankle": 6.5, "elbow": 5.0, "wrist": 3.5}
    lengths = median_bone_lengths(xyz, H36M)
    for (parent, child), length in zip(H36M.bones, lengths, strict=True):
        joint = H36M.joints[child].partition("_")[2]
        if joint in stated:
            np.testing.assert_allclose(np.linalg.norm(xyz[:, child] - xyz[:, parent], axis=-1), length, atol=1e-2)
            np.testing.assert_allclose(length, stated[joint] * MM, atol=1e-2)


def test_other_folders_and_subjects(database, here):
    flat = here / "flat"
    flat.mkdir()
    for file in (database / "subjects" / "01").iterdir():
        (flat / file.name.upper()).write_bytes(file.read_bytes())
    (flat / "._01_09.amc").write_text("what a zip of a Mac leaves")
    (flat / "walk.amc").write_text(amc([{}]))
    result = epitool("import", "cmu", flat)
    assert "6 poses" not in result.stdout
    assert "5 poses of 1 subject" in result.stdout
    assert "walk.amc: is left out" in result.stderr
    assert "1 pose" in epitool("import", "cmu", database, "--subjects", "12").stdout
    assert "no clip of 3; found 1, 12" in failing(2, "import", "cmu", database, "--subjects", "3,12")


DAMAGE = {
    "cut off in a bone": (lambda text: text[: text.rindex("rhand") + 5], "frame 9: rhand has 0 numbers, expected 2"),
    "cut off between bones": (lambda text: text[: text.rindex("rhumerus")], "frame 9 has not the bones of the first"),
    "NaN": (lambda text: text.replace("ltibia ", "ltibia nan ", 1), "frame 1: ltibia has 2 numbers"),
    "no number": (lambda text: text.replace("\nltibia ", "\nltibia nan #", 1), "'nan' where a number is expected"),
    "no frames": (lambda text: text[: text.index("1")], "it has no frames"),
    "a frame missing": (lambda text: text.replace("\n4\n", "\n5\n"), "frame 5 follows frame 3"),
    "another order": (lambda text: text.replace("thorax", "x").replace("head", "thorax", 1), "has x, which the"),
    "order changes": (
        lambda text: "ltibia 4\n".join(text.rsplit("\nrfemur", 1)[0].rsplit("ltibia", 1)) + "\n",
        "has not the bones of the first one in their order",
    ),
    "a bone missing": (lambda text: "\n".join(w for w in text.split("\n") if "lradius" not in w), "has no lradius"),
    "radians": (lambda text: text.replace(":DEGREES", ":RADIANS"), "angles in radians"),
    "binary": (lambda _: "\0\udcff" * 50, "cannot be read as an AMC motion"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_clips_are_refused(damage, database, here):
    change, words = DAMAGE[damage]
    clip = database / "subjects" / "01" / "01_01.amc"
    clip.write_text(change(clip.read_text()), errors="surrogateescape")
    said = failing(3, "import", "cmu", database)
    assert words in said
    assert str(clip) in said
    assert said.strip().count("\n") == 0
    assert not Path("cmu/poses.npz").exists()


SKELETON_DAMAGE = {
    "inches": (("length 0.45", "length 0.01"), "lhipjoint is 5080 mm long"),
    "direction": (("direction 0 -1 0", "direction 0 -2 0"), "the direction of rfemur is no unit vector"),
    "infinite": (("length 7.0", "length inf"), "'inf' where a number is expected"),
    "axis": (("0 0 20  XYZ", "0 0 20  XXZ"), "axis 'XXZ'"),
    "translating": (("dof rx ry rz", "dof tx ry rz"), "'tx ry rz', expected some of rx ry rz"),
    "root order": (("TX TY TZ", "TX TY"), "the root's order is 'TX TY RX RY RZ'"),
    "loop": (("lfemur ltibia", "lfemur ltibia lhipjoint"), "the hierarchy has lhipjoint twice"),
    "no bone data": (("name head", "name skull"), "no bone data of head"),
    "no hierarchy": ((":hierarchy", ":anything"), "lacks hierarchy"),
    "other bones": (("upperneck", "neck2"), "has no upperneck; CMU's skeletons do"),
    "gradians": (("angle deg", "angle grad"), "angles in 'grad'"),
}


@pytest.mark.parametrize("damage", SKELETON_DAMAGE)
def test_other_skeletons_are_refused(damage, database, here):
    (old, new), words = SKELETON_DAMAGE[damage]
    path = database / "subjects" / "01" / "01.asf"
    path.write_text(path.read_text().replace(old, new))
    said = failing(3, "import", "cmu", database)
    assert words in said
    assert str(path) in said


def test_what_is_not_there_is_said(database, here):
    (database / "subjects" / "12" / "12.asf").unlink()
    assert "12.asf: no such file, but 12_01.amc needs it" in failing(3, "import", "cmu", database)
    (here / "empty").mkdir()
    assert "has no clips" in failing(3, "import", "cmu", "empty")
    assert "no such folder" in failing(3, "import", "cmu", "nowhere")
    assert "--every: mpii has photographs" in failing(2, "import", "mpii", "empty", "--every", "5")
