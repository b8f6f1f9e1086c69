"""RTMPose, RTMO and whole bodies: small graphs of the same inputs and outputs run through rtmlib's own code.

In the images, people are blue or green, and their joints are where red peaks. The graphs look for these colours, so
that an image with its colours in another order shows at once.
"""

import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from epitool.detectors import open_detector
from epitool.detectors.finding import looks_in_box, people_found
from epitool.errors import CheckpointError, UsageError
from epitool.io.candidates_h5 import read_candidates
from epitool.io.keypoints_h5 import read_keypoints
from epitool.options import Detect2dOptions
from epitool.skeleton import skeleton
from epitool.stages import detect2d

rtmlib = pytest.importorskip("rtmlib", reason="needs pip install 'epitool[rtmpose]'")
onnx = pytest.importorskip("onnx", reason="needs pip install 'epitool[onnx]'")
pytest.importorskip("onnxruntime", reason="needs pip install 'epitool[rtmpose]'")

BLUE, GREEN, RED = 0, 1, 2  # channels as YOLOX and RTMO see them
NETWORKS = {
    "rtmpose": rtmlib.BodyWithFeet.MODE["balanced"],
    "rtmo": rtmlib.Body.RTMO_MODE["balanced"],
    "wholebody": rtmlib.Wholebody.MODE["balanced"],
}


class Graph:
    """An ONNX graph that grows by calls: `graph.Relu(x)` is the output of a new node."""

    def __init__(self, *size: int) -> None:
        self.nodes, self.constants, self.size = [], [], size

    def constant(self, value, dtype=np.float32):
        name = f"c{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def __getattr__(self, kind):
        def node(*inputs, **attributes):
            name = f"n{len(self.nodes)}"
            self.nodes.append(onnx.helper.make_node(kind, list(inputs), [name], **attributes))
            return name

        return node

    def channel(self, n):
        """(1, 1, H, W)"""
        return self.Slice("input", *(self.constant([k], np.int64) for k in (n, n + 1, 1)))

    def save(self, path, *outputs):
        value = onnx.helper.make_tensor_value_info
        made = onnx.helper.make_graph(
            self.nodes, "graph", [value("input", 1, (1, 3, *self.size))],
            [value(name, 1, (1, *[None] * rank)) for name, rank in outputs], self.constants,
        )  # fmt: skip
        opset = [onnx.helper.make_opsetid("", 17)]
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        onnx.save(onnx.helper.make_model(made, opset_imports=opset, ir_version=8), path)


def box(graph, channel, score):
    """The box around a colour `(1, 1, 5)`, surer than nothing where the colour is there."""
    mask = graph.Cast(graph.Greater(graph.channel(channel), graph.constant(200.0)), to=1)
    sides = []
    for last in (0, 1):
        for axis in (2, 3):  # rows are looked along for left and right
            profile = graph.Reshape(graph.ReduceMax(mask, axes=[axis]), graph.constant([1, 1, -1], np.int64))
            sides.append(graph.Cast(graph.ArgMax(profile, axis=2, select_last_index=last), to=1))
    there = graph.Reshape(graph.ReduceMax(mask), graph.constant([1, 1, 1], np.int64))
    return graph.Concat(*sides, graph.Mul(there, graph.constant(score)), axis=2)


def save_yolox(path, size=(640, 640)):
    """Boxes with their scores `(1, 2, 5)`, as of graphs that hold the non-maximum suppression."""
    graph = Graph(*size)
    graph_boxes = graph.Concat(box(graph, BLUE, 0.9), box(graph, GREEN, 0.8), axis=1)
    graph.save(path, (graph_boxes, 2))


def save_rtmpose(path, joints, size=(192, 256)):
    """SimCC peaks where red is, for RGB images; each joint is less sure than the one before, the last is not seen."""
    graph = Graph(size[1], size[0])
    red = graph.Relu(graph.channel(0))
    weights = graph.constant(np.linspace(1, 0, joints).reshape(1, joints, 1))
    outputs = []
    for axis, length in ((2, size[0]), (3, size[1])):
        profile = graph.Reshape(graph.ReduceMax(red, axes=[axis]), graph.constant([1, 1, length], np.int64))
        scales = graph.constant([1.0, 1.0, 2.0])
        twice = graph.Resize(profile, "", scales, mode="linear", coordinate_transformation_mode="asymmetric")
        outputs.append((graph.Mul(twice, weights), 2))
    graph.save(path, *outputs)


def save_rtmo(path, size=(640, 640), joints=17):
    """People `(1, P, 5)` and joints `(1, P, 17, 3)` at the middle of red, each 5 px below the one before.

    The second person's are 100 px to the right.
    """
    graph = Graph(*size)
    boxes = graph.Concat(box(graph, BLUE, 0.95), box(graph, GREEN, 0.85), axis=1)
    red, middle = graph.Relu(graph.Sub(graph.channel(RED), graph.constant(120.0))), []  # padding is 114
    for axis, length in ((2, size[1]), (3, size[0])):
        profile = graph.Reshape(graph.ReduceSum(red, graph.constant([axis], np.int64)), graph.constant([-1], np.int64))
        weighted = graph.Mul(profile, graph.constant(np.arange(length)))
        middle.append(graph.Div(graph.ReduceSum(weighted), graph.Add(graph.ReduceSum(profile), graph.constant([1e-3]))))
    shape = graph.constant([1, 1, 1, -1], np.int64)
    xy1 = graph.Reshape(graph.Concat(*middle, graph.constant([1.0]), axis=0), shape)
    offset = np.zeros((1, 2, joints, 3))
    offset[0, 1, :, 0], offset[0, :, :, 1] = 100, 5 * np.arange(joints)
    offset[0, :, -1, 2] = -1  # which has no visibility at all
    people = graph.Add(xy1, graph.constant(offset))
    there = graph.Squeeze(graph.Greater(graph.Slice(boxes, *(graph.constant([k], np.int64) for k in (4, 5, 2))),
                                        graph.constant(0.0)))  # fmt: skip
    graph.save(path, (graph.Compress(boxes, there, axis=1), 2), (graph.Compress(people, there, axis=1), 3))


def stem(address):
    return address.rpartition("/")[2].partition(".")[0]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Where rtmlib keeps its files."""
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/rtmlib/hub/checkpoints"


@pytest.fixture
def graphs(cache):
    save_yolox(cache / f"{stem(NETWORKS['rtmpose']['det'])}.onnx")
    save_rtmpose(cache / f"{stem(NETWORKS['rtmpose']['pose'])}.onnx", 26)
    save_rtmpose(cache / f"{stem(NETWORKS['wholebody']['pose'])}.onnx", 133)
    save_rtmo(cache / f"{stem(NETWORKS['rtmo']['pose'])}.onnx")
    return cache


def people_at(*middles, size=(720, 960), colours=((0, 0, 255), (0, 255, 0))):
    """An RGB image of people, whose joints are at (x, y)."""
    image = np.zeros((*size, 3), np.uint8)
    for (cx, cy), colour in zip(middles, colours):
        left, top = int(cx) - 60, int(cy) - 120
        y, x = np.mgrid[top : top + 240, left : left + 120]
        peak = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * 8.0**2))[..., None]
        image[top : top + 240, left : left + 120] = np.round(
            np.array(colour) * (1 - peak) + np.array([255, 0, 0]) * peak
        )
    return image


@pytest.mark.parametrize(("name", "body"), [("rtmpose", "halpe26"), ("wholebody", "wholebody133")])
def test_every_person_is_found_and_unseen_joints_are_missing(graphs, name, body, capfd):
    detector = open_detector(name)
    assert (detector.name, detector.skeleton) == (name, skeleton(body))
    xy, confidence = detector.detect(people_at((300, 250), (700, 450)))
    assert xy.shape == (2, len(detector.skeleton), 2)
    seen = xy[:, :-1]
    np.testing.assert_allclose(
        seen, np.broadcast_to([[[300, 250]], [[700, 450]]], seen.shape), atol=1
    )  # the surest first
    assert np.isnan(xy[:, -1]).all()
    assert (confidence[:, -1] == 0).all()
    assert (np.diff(confidence) < 0).all()
    assert confidence.max() > 1  # SimCC's scores as they are
    assert capfd.readouterr().out == ""  # standard output is the summary's


def test_joints_lie_where_they_are_in_the_mean_over_places(graphs):
    """What is left is the grid of the peaks, half a pixel of the crop; no shift of all."""
    detector, rng = open_detector("rtmpose"), np.random.default_rng(0)
    places = rng.uniform([200, 200], [700, 500], (16, 2))
    found = np.array([detector.detect(people_at(place))[0][0, 0] for place in places])
    assert abs(found - places).max() < 1
    assert abs((found - places).mean(axis=0)).max() < 0.2


def test_rtmo_finds_every_person_at_the_exact_place(graphs):
    """Images are three times as large as the network's: a shift of a pixel of theirs would be one of three here."""
    detector = open_detector("rtmo")
    xy, confidence = detector.detect(people_at((600, 700), (1500, 700), size=(1440, 1920)))
    assert xy.shape == (2, 17, 2)
    xy, confidence = detector.detect(people_at((611.5, 702.25), size=(1440, 1920)))
    np.testing.assert_allclose(xy[0, :-1, 0], 611.5, atol=0.15)
    np.testing.assert_allclose(xy[0, :-1, 1], 702.25 + 15 * np.arange(16), atol=0.15)
    assert np.isnan(xy[0, -1]).all()
    assert confidence[0].tolist() == [*[1.0] * 16, 0.0]


@pytest.mark.parametrize("name", NETWORKS)
def test_nobody_is_found_where_nobody_is(graphs, name):
    """And no person of joints at the origin, nor one who fills the image."""
    detector = open_detector(name)
    for image in (np.zeros((480, 640, 3), np.uint8), people_at((300, 250), colours=[(0, 0, 0)])):
        xy, confidence = detector.detect(image)
        assert xy.shape == (0, len(detector.skeleton), 2)
        assert confidence.shape == xy.shape[:2]
    assert len(people_found(detector, image).xy) == 0


def test_people_in_a_box_have_their_joints_in_the_image(graphs):
    image = people_at((300, 250), (700, 450))
    (found,), _ = looks_in_box(
        open_detector("rtmpose"), image, np.array([500.0, 200.0, 400.0, 500.0]), (), alone=False, turned=False
    )
    np.testing.assert_allclose(found.xy[:, 0], [[700, 450]], atol=1)


def test_detect2d_keeps_everybody_as_candidates(graphs, here):
    Path("a").mkdir()
    for i in range(4):
        cv2.imwrite(f"a/{i}.png", people_at((300 + 8 * i, 250), (700, 450))[..., ::-1])
    detect2d.run(Detect2dOptions(views=(Path("a"),), detector="rtmo", jobs=1, device="cpu"))
    keypoints = read_keypoints(Path("keypoints.h5"))
    assert keypoints.skeleton == skeleton("coco17")
    candidates = read_candidates(Path("keypoints.h5"), keypoints.xy.shape[:3])
    assert np.bincount(candidates.frame_index).tolist() == [2, 2, 2, 2]


def served(monkeypatch, folder, name="rtmpose", cut=None):
    """Archives as rtmlib fetches them, at addresses that need no network; cut after so many bytes."""
    for part, network in NETWORKS[name].copy().items():
        if not part.endswith("size"):
            archive = folder / f"{stem(network)}.zip"
            with zipfile.ZipFile(archive, "w") as file:
                save_yolox(folder / "end2end.onnx") if part == "det" else save_rtmpose(folder / "end2end.onnx", 26)
                file.write(folder / "end2end.onnx", "some/where/end2end.onnx")
            archive.write_bytes(archive.read_bytes()[:cut])
            monkeypatch.setitem(NETWORKS[name], part, archive.as_uri())


def test_weights_are_fetched_once_for_all_views(cache, tmp_path, monkeypatch):
    served(monkeypatch, tmp_path)
    (cache / ".epitool-old").mkdir(parents=True)  # of a run that was killed
    fetch, calls = rtmlib.tools.file.download_checkpoint, []
    monkeypatch.setattr(rtmlib.tools.file, "download_checkpoint", lambda *a, **k: calls.append(a[0]) or fetch(*a, **k))
    with ThreadPoolExecutor(3) as pool:
        opened = list(pool.map(open_detector, ["rtmpose"] * 3))
    assert len(opened) == 3
    assert len(calls) == 2
    assert sorted(file.name for file in cache.iterdir()) == sorted(
        f"{stem(NETWORKS['rtmpose'][part])}.onnx" for part in ("det", "pose")
    )


def test_offline_the_files_and_their_folder_are_named(cache, tmp_path, monkeypatch):
    monkeypatch.setitem(NETWORKS["rtmpose"], "det", (tmp_path / "yolox_m.zip").as_uri())
    with pytest.raises(UsageError, match=r"cannot be fetched \(.*No such file.*\); .*yolox_m\.zip into .*checkpoints$"):
        open_detector("rtmpose")
    assert list(cache.iterdir()) == []


def test_a_dead_network_is_waited_for_once(cache, tmp_path, monkeypatch):
    """However many views open the detector."""
    calls = []

    def dead(*arguments, **options):
        calls.append(time.sleep(0.2))
        raise TimeoutError("timed out")

    monkeypatch.setattr(rtmlib.tools.file, "download_checkpoint", dead)
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(open_detector, "rtmo") for _ in range(3)]
    assert all("cannot be fetched (timed out)" in str(each.exception()) for each in asked)
    assert len(calls) == 1
    with pytest.raises(UsageError, match="timed out"):
        open_detector("rtmo")
    assert len(calls) == 2


def test_archives_put_there_by_hand_are_used(cache, tmp_path, monkeypatch):
    served(monkeypatch, tmp_path)
    cache.mkdir(parents=True)
    for archive in tmp_path.glob("*.zip"):
        archive.rename(cache / archive.name)
    assert len(open_detector("rtmpose").detect(people_at((300, 250)))[0]) == 1
    for graph in cache.glob("*.onnx"):
        graph.unlink()
        (cache / f"{graph.stem}.zip").write_bytes(b"PK")
    with pytest.raises(UsageError, match=r"\.zip is damaged \(File is not a zip file\); delete it"):
        open_detector("rtmpose")


def test_a_download_that_was_cut_off_is_not_kept(cache, tmp_path, monkeypatch):
    served(monkeypatch, tmp_path, cut=1000)
    with pytest.raises(UsageError, match=r"came in part only, and was not kept .*; run the same command again"):
        open_detector("rtmpose")
    assert list(cache.iterdir()) == []
    served(monkeypatch, tmp_path)
    open_detector("rtmpose")


def test_an_interrupted_download_leaves_nothing(cache, tmp_path, monkeypatch):
    served(monkeypatch, tmp_path)

    def interrupted(*arguments, **options):
        (Path(arguments[1]) / "half").write_bytes(b"PK")
        raise KeyboardInterrupt

    monkeypatch.setattr(rtmlib.tools.file, "download_checkpoint", interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_detector("rtmpose")
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("part", "save"),
    [
        ("det", lambda path: path.write_bytes(b"no graph")),
        ("det", lambda path: save_rtmpose(path, 26)),
        ("pose", lambda path: save_rtmpose(path, 17)),
        ("pose", save_yolox),
        ("pose", save_rtmo),
    ],
)
def test_graphs_that_are_others_are_named(graphs, part, save):
    file = graphs / f"{stem(NETWORKS['rtmpose'][part])}.onnx"
    save(file)
    with pytest.raises(CheckpointError, match=rf"{file}: is not the network that it should be \(.+\); delete it"):
        open_detector("rtmpose")


def test_devices_that_are_not_there_are_named(graphs):
    with pytest.raises(UsageError, match="--device cuda:7: this ONNX Runtime computes on the CPU only"):
        open_detector("rtmpose", "cuda:7")
    with pytest.raises(UsageError, match="--device tpu: expected auto, cpu, cuda or cuda:N"):
        open_detector("rtmo", "tpu")


def test_without_rtmlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "rtmlib", None)
    for name in NETWORKS:
        with pytest.raises(UsageError, match=rf"detector {name}: .*pip install 'epitool\[rtmpose\]'"):
            open_detector(name)
