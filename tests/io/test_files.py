import json
import os
import resource
import tempfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from epitool.errors import InputError
from epitool.files import writing
from epitool.io.datasets.h36m import read_metadata
from epitool.io.files import read_xml, stored_image
from epitool.io.foreign.cameras.qualisys import read_qualisys
from epitool.io.keypoints_h5 import read_keypoints, write_keypoints
from epitool.io.labels_h5 import read_labels, write_labels
from epitool.io.predictions import read_predictions, write_predictions
from epitool.pose import Predictions

made = tempfile.mkstemp


def test_keypoints_come_back_as_written(here, truth):
    write_keypoints(Path("keypoints.h5"), truth.keypoints)
    back = read_keypoints(Path("keypoints.h5"))
    np.testing.assert_allclose(back.xy, truth.keypoints.xy, rtol=1e-6)
    np.testing.assert_array_equal(back.images, truth.keypoints.images)
    assert (back.views, back.skeleton) == (truth.keypoints.views, truth.keypoints.skeleton)


def test_labels_come_back_as_written(here, truth):
    write_labels(Path("labels.h5"), truth)
    back = read_labels(Path("labels.h5"))
    np.testing.assert_allclose(back.poses.xyz, truth.poses.xyz, atol=1e-3)
    seen = truth.keypoints.seen
    np.testing.assert_allclose(back.rig.project(truth.poses.xyz)[seen], truth.keypoints.xy[seen], atol=1e-9)
    assert (back.rig.unit, back.rig.scale_source, back.recording_id) == ("mm", "rendered", truth.recording_id)


def test_images_are_found_from_any_directory(tmp_path, truth, monkeypatch):
    for folder in ("work", "out", "elsewhere"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    write_keypoints(Path("../out/keypoints.h5"), truth.keypoints)
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = read_keypoints(Path("../out/keypoints.h5")).images[0, 0]
    assert Path(found).resolve() == (tmp_path / "work/cam1/00000.jpg").resolve()


def test_images_are_found_from_a_folder_that_is_a_link(tmp_path, truth, monkeypatch):
    (tmp_path / "disk" / "deep" / "out").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "out").symlink_to(tmp_path / "disk" / "deep" / "out")
    monkeypatch.chdir(tmp_path / "work")
    for path in (Path("out/keypoints.h5"), tmp_path / "work" / "out" / "absolute.h5"):
        write_keypoints(path, truth.keypoints)
        found = read_keypoints(path).images[0, 0]
        assert Path(found).resolve() == (tmp_path / "work/cam1/00000.jpg").resolve()


def test_a_link_is_written_through(tmp_path, truth, monkeypatch):
    """Then the images' names, which are relative to where the file really lies, hold."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "keypoints.h5").symlink_to(tmp_path / "disk" / "k.h5")
    monkeypatch.chdir(tmp_path / "work")
    for _ in range(2):
        write_keypoints(Path("keypoints.h5"), truth.keypoints)
        assert Path("keypoints.h5").is_symlink()
        for path in (Path("keypoints.h5"), Path("../disk/k.h5")):
            assert Path(read_keypoints(path).images[0, 0]).resolve() == tmp_path / "work/cam1/00000.jpg"


def test_names_are_stored_with_slashes_and_absolute_between_drives(here, monkeypatch):
    file = Path("labels.h5")
    monkeypatch.setattr("epitool.io.files.os.sep", "\\")
    monkeypatch.setattr("epitool.io.files.os.path.relpath", lambda *_: "cam1\\0.jpg")
    assert stored_image("x", file) == "cam1/0.jpg"

    def other_drive(*_):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr("epitool.io.files.os.path.relpath", other_drive)
    assert stored_image("cam1/0.jpg", file) == f"{here}/cam1/0.jpg"


@pytest.mark.skipif(os.name == "nt", reason="folders there have no such permission")
def test_stdout_needs_no_folder_that_can_be_written_to(here, monkeypatch, capfdbinary):
    asked = []
    monkeypatch.setattr("epitool.files.tempfile.mkstemp", lambda **o: asked.append(o["dir"]) or made(**o))
    with writing(Path("-")) as temporary:
        temporary.write_text("content")
    assert asked == [Path(tempfile.gettempdir())]
    assert capfdbinary.readouterr().out == b"content"


def test_files_have_the_permissions_that_the_user_gives_and_threads_do_not_change_them(here, monkeypatch):
    monkeypatch.setattr("epitool.files.os.umask", lambda _: pytest.fail("the process's umask was touched"))
    with writing(Path("a")) as temporary:
        temporary.write_text("")
    Path("b").write_text("")
    assert Path("a").stat().st_mode == Path("b").stat().st_mode


def test_predictions_come_back_and_missing_is_null(here, truth):
    joints = np.full((2, 17, 3), 1.23456)
    joints[1, 4] = np.nan
    confidence = np.ones((2, 17))
    made = Predictions(
        ("a.jpg", "v.mp4#3"),
        np.ones((2, 4)),
        joints,
        joints[..., :2],
        confidence,
        truth.poses.skeleton,
        "mm",
        {"a": "b"},
        np.array([0.75, np.nan]),
    )
    write_predictions(Path("pose.json"), made)
    content = json.loads(Path("pose.json").read_text())
    assert content["poses"][1]["joints_3d"][4] == [None, None, None]
    assert [pose.pop("facing") for pose in content["poses"]] == [0.75, None]
    back = read_predictions(Path("pose.json"))
    np.testing.assert_array_equal(back.facing, made.facing)
    np.testing.assert_allclose(back.joints_3d, joints, atol=5e-4)
    Path("pose.json").write_text(json.dumps(content))  # as earlier versions wrote it
    assert np.isnan(read_predictions(Path("pose.json")).facing).all()
    assert (back.images, back.provenance) == (made.images, made.provenance)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(here):
    Path("file.txt").write_text("old")

    def fail():
        with writing(Path("file.txt")) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [(path.name, path.read_text()) for path in here.iterdir()] == [("file.txt", "old")]


@pytest.mark.parametrize("most", [2000, 20_000])
def test_a_file_larger_than_the_system_allows_is_said(here, truth, most):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        with pytest.raises(InputError, match=r"cannot write labels\.h5: File too large"):
            write_labels(Path("labels.h5"), truth)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(here.iterdir())


def test_writing_where_one_cannot_is_said(here):
    Path("file").write_text("")
    with pytest.raises(InputError, match="cannot write file/below"), writing(Path("file/below")):
        pass


BOMB = '<?xml version="1.0" encoding="{0}"?><!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]><a>&c;</a>'
PLAIN = '<?xml version="1.0" encoding="{0}"?><a>bbbb</a>'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig"])
def test_xml_with_a_document_type_is_refused_in_any_encoding(here, encoding):
    stated = encoding.removesuffix("-sig")
    Path("plain.xml").write_bytes(PLAIN.format(stated).encode(encoding))
    assert read_xml(Path("plain.xml")).text == "bbbb"
    Path("bomb.xml").write_bytes(BOMB.format(stated).encode(encoding))
    with pytest.raises(ValueError, match="document type is not read"):
        read_xml(Path("bomb.xml"))


@pytest.mark.parametrize(
    "content", [b"", b"<a>", b"<a/><a/>", b"\xff\xfe", b'<?xml version="1.0" encoding="none"?><a/>']
)
def test_what_is_no_xml_is_said(here, content):
    Path("a.xml").write_bytes(content)
    with pytest.raises(ValueError, match="no XML"):
        read_xml(Path("a.xml"))


@pytest.mark.parametrize("read", [read_qualisys, read_metadata])
def test_readers_of_xml_refuse_a_document_type_in_one_line(here, read):
    Path("a.xml").write_bytes(BOMB.format("utf-16").encode("utf-16"))
    with pytest.raises((ValueError, InputError), match="document type is not read"):
        read(Path("a.xml"))


@pytest.mark.parametrize("read", [read_keypoints, read_labels, read_predictions])
def test_what_is_no_such_file_is_said_in_one_line(here, read):
    Path("empty").write_bytes(b"")
    Path("text").write_text("hello")
    Path("folder").mkdir()
    Path("array.json").write_text("[" * 100000)
    for name, message in [("gone", "no such file"), ("empty", "empty"), ("text", "epitool "), ("folder", "folder")]:
        with pytest.raises(InputError, match=message) as caught:
            read(Path(name))
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError):
        read(Path("array.json"))


def test_another_format_or_version_is_named(here, truth):
    write_keypoints(Path("keypoints.h5"), truth.keypoints)
    with pytest.raises(InputError, match="holds 2D joints, not labels with 3D joints; `epitool triangulate` makes"):
        read_labels(Path("keypoints.h5"))
    Path("pose.json").write_text('{"format": "epitool.poses/9"}')
    with pytest.raises(InputError, match=r"epitool\.poses/9"):
        read_predictions(Path("pose.json"))


def damage(path, change):
    with h5py.File(path, "r+") as file:
        change(file)


def _link(file):
    del file["xy"]
    file["xy"] = h5py.ExternalLink("/etc/passwd", "xy")


def _shape(file):
    del file["confidence"]
    file["confidence"] = np.zeros((1, 2, 3))


def _text(file):
    shape = file["xyz"].shape
    del file["xyz"]
    file["xyz"] = np.full(shape, b"x")


def _attribute(file):
    del file.attrs["views"]


@pytest.mark.parametrize(
    ("change", "message"), [(_link, "lacks"), (_shape, "shape"), (_text, "numbers"), (_attribute, "lacks")]
)
def test_damaged_labels_are_refused(here, truth, change, message):
    write_labels(Path("labels.h5"), truth)
    damage("labels.h5", change)
    with pytest.raises(InputError, match=message):
        read_labels(Path("labels.h5"))


def test_truncated_labels_are_refused_at_any_length(here, truth):
    write_labels(Path("labels.h5"), truth)
    whole = Path("labels.h5").read_bytes()
    for share in np.linspace(0.01, 0.95, 12):
        Path("labels.h5").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(InputError, match="make it anew"):
            read_labels(Path("labels.h5"))


def test_a_pose_of_another_shape_is_refused(here, truth):
    one = Predictions(
        ("a",),
        np.ones((1, 4)),
        np.ones((1, 17, 3)),
        np.ones((1, 17, 2)),
        np.ones((1, 17)),
        truth.poses.skeleton,
        "mm",
        {},
    )
    write_predictions(Path("pose.json"), replace(one))
    content = json.loads(Path("pose.json").read_text())
    content["poses"][0]["joints_3d"].pop()
    Path("pose.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="joints_3d"):
        read_predictions(Path("pose.json"))
