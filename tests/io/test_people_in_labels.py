"""Labels of several people in one file: each as if alone, readers of one person read the first, and damage is said."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from test_label_files import assert_same

from epitool.errors import InputError
from epitool.io.h5 import texts
from epitool.io.labels_h5 import open_labels, people_in, read_labels, write_labels, writing_labels
from epitool.labels import Labels

SPANS = {"person2": (10, 50), "person3": (5, 120)}


@pytest.fixture
def three(here, truth) -> Path:
    """Three people, in a file that was also begun for a fourth, who is not kept."""
    path = Path("labels.h5")
    with writing_labels(path, truth.poses.frames) as writer:
        writer.append(truth)
        writer.judge("pass", ())
        for name, (start, stop) in SPANS.items():
            other = writer.another(truth.poses.frames[start:stop])
            assert other.person == name
            for part in (truth.between(start, start + 7), truth.between(start + 7, stop)):
                other.append(part)
            other.judge("warn", [f"of {name}"])
        writer.another(truth.poses.frames)
        writer.take_back()
    return path


def test_everyone_is_read_as_if_alone_and_the_first_where_none_is_named(three, truth):
    assert people_in(three) == ("person1", *SPANS)
    write_labels(Path("alone.h5"), truth)
    alone = read_labels("alone.h5")
    assert_same(read_labels(three), alone)
    assert_same(read_labels(three, "person1"), alone)
    for name, (start, stop) in SPANS.items():
        found = read_labels(three, name)
        assert_same(found, alone.between(start, stop))
        assert (found.verdict, found.reasons) == ("warn", (f"of {name}",))
        with open_labels(three, name) as file:
            assert (file.person, len(file), file.read_further_joints()) == (name, stop - start, None)
            np.testing.assert_array_equal(file.read(3, 9, 2).poses.frames, np.arange(start + 3, start + 9, 2))
    with h5py.File(three) as file:
        assert [group.attrs["person"].decode() for group in (file, *file["people"].values())] == ["person1", *SPANS]


def test_a_file_of_one_person_is_the_same_whether_others_were_begun_or_not(here, truth):
    write_labels(Path("alone.h5"), truth)
    with writing_labels(Path("taken_back.h5"), truth.poses.frames) as writer:
        writer.append(truth)
        writer.another(truth.poses.frames).append(truth)
        writer.take_back()
    alone, taken_back = (h5py.File(path) for path in ("alone.h5", "taken_back.h5"))
    with alone, taken_back:
        assert list(alone) == list(taken_back)
        assert list(alone.attrs) == list(taken_back.attrs)
    assert people_in("alone.h5") == people_in("taken_back.h5") == ("person1",)
    assert Path("taken_back.h5").stat().st_size < 1.2 * Path("alone.h5").stat().st_size


def write_half_of_another(truth: Labels) -> None:
    with writing_labels(Path("labels.h5"), truth.poses.frames) as writer:
        writer.append(truth)
        writer.another(truth.poses.frames).append(truth.between(0, 7))


def test_a_file_that_lacks_frames_of_a_further_person_is_never_made(here, truth):
    with pytest.raises(ValueError, match="7 frames were appended, expected 120"):
        write_half_of_another(truth)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("name", ["person4", "person0", "", "..", "people/person2"])
def test_who_is_not_there_is_told_who_is(three, name):
    with pytest.raises(InputError, match=r"people in it are person1, person2, person3$"):
        read_labels(three, name)


def damaged(path: Path, person: str = "person2") -> str:
    """What is said of a person."""
    with pytest.raises(InputError) as error:
        read_labels(path, person)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    read_labels(path)  # readers of the first person are not disturbed
    return str(error.value)


@pytest.mark.parametrize("name", ["xyz", "frames", "used", "cameras", "images"])
def test_what_a_further_person_lacks_is_said_with_their_name(three, name):
    with h5py.File(three, "r+") as file:
        del file["people/person2"][name]
    if name == "used":  # as files of the first release
        assert read_labels(three, "person2").used.any()
    else:
        assert "person2" in damaged(three)


def test_further_people_of_other_cameras_or_joints_are_refused(three):
    with h5py.File(three, "r+") as file:
        group = file["people/person2"]
        group.attrs["views"] = texts(["a", "b", "c", "d"])
        file["people/person3"].attrs["unit"] = texts("arbitrary")
        file.copy("people/person3", "people/person4")
        file["people/person4"].attrs["unit"] = file.attrs["unit"]
        file["people/person4/frames"][-1] = 500
    assert "person2 has other views than person1" in damaged(three)
    assert "person3 has other unit than person1" in damaged(three, "person3")
    assert "person4 has frames that person1 lacks" in damaged(three, "person4")


def test_groups_that_lead_out_of_the_file_or_in_circles_are_refused(three, truth):
    write_labels(Path("other.h5"), truth)
    with h5py.File(three, "r+") as file:
        file["people/person4"] = h5py.ExternalLink("other.h5", "/")
        file["people/person5"] = h5py.SoftLink("/")
        file["people/person6"] = np.zeros(3)
    for name in ("person4", "person5", "person6"):
        assert f"'{name}' is no group of this file" in damaged(three, name)
    with h5py.File(three, "r+") as file:
        del file["people"]
        file["people"] = h5py.ExternalLink("other.h5", "/")
    assert "'people' is no group of this file" in damaged(three)
    with pytest.raises(InputError, match="'people' is no group of this file"):
        people_in(three)


@pytest.mark.parametrize("name", ["person1", "person02", "anna", "person2\n", "person9999999999"])
def test_names_that_are_no_further_persons_are_refused(three, name):
    with h5py.File(three, "r+") as file:
        file["people"].create_group(name)
    assert "no further person's name" in damaged(three)
