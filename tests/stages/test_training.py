"""Training learns, is reproducible to the bit, survives interruptions, and its checkpoints are safe to read."""

import json
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from epitool.errors import GeometryError, InputError, UsageError
from epitool.io.labels_h5 import write_labels, writing_labels
from epitool.io.predictions import read_predictions
from epitool.labels import Labels
from epitool.nn import training
from epitool.nn.checkpoint import load_model
from epitool.nn.dataset import CropDataset
from epitool.nn.device import pick_device
from epitool.nn.distributed import Compute
from epitool.nn.inference import open_engine, predict_images
from epitool.nn.network import build_network, convert_crops
from epitool.nn.recording import Recording
from epitool.nn.run import BEST, LAST, LOG, best_epoch
from epitool.nn.samples import collect_samples
from epitool.nn.soft_argmax import soft_argmax
from epitool.nn.training_set import open_training_set, prepare_training_set
from epitool.nn.validation import validate
from epitool.options import PredictOptions, TrainOptions
from epitool.options.network import SMALL
from epitool.pose import Keypoints
from epitool.skeleton import skeleton
from epitool.stages import predict as predict_stage
from epitool.stages import train as train_stage
from epitool.synthetic import render_scene

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
TINY = replace(SMALL, image_size=64, filters=16, epochs=3, batch_size=8)


@pytest.fixture(scope="session")
def labels(tmp_path_factory) -> Labels:
    return render_scene(tmp_path_factory.mktemp("scene"), frames=7, seed=3)


def train(labels: Labels, options, folder: Path, **more):
    fabric = Compute("cpu").start()
    return training.train(Recording.of(labels), options, folder, fabric, None, **more)


@pytest.fixture(scope="session")
def run_folder(labels, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    torch.set_num_threads(1)
    train(labels, TINY, folder)
    return folder


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / LAST, weights_only=True)["weights"]


def assert_same_bits(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_run_leaves_model_and_a_line_per_epoch(run_folder, labels):
    lines = [json.loads(line) for line in (run_folder / LOG).read_text().splitlines()]
    card = load_model(run_folder / BEST).card
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert card.epoch == best_epoch(lines)["epoch"]
    assert card.val_error == min(line["val_nmpjpe"] for line in lines)
    assert card.mean_pose_error > 0
    assert (card.recording_id, card.unit, card.skeleton) == (labels.recording_id, "mm", labels.poses.skeleton)
    assert card.focal_ratio == pytest.approx(labels.rig.cameras[0].focal / max(labels.rig.cameras[0].image_size))
    assert not list(run_folder.glob(".*"))


def test_a_network_that_answers_nothing_is_measured_as_nothing_and_never_the_best(run_folder, labels):
    model, recording = load_model(run_folder / BEST), Recording.of(labels)
    network = build_network(17, TINY)
    network.load_state_dict({name: tensor * np.nan for name, tensor in model.weights.items()}, strict=False)
    samples, store = open_training_set(recording.skeleton, run_folder)
    measured = validate(network, samples, store, TINY, Compute("cpu").start())
    assert all(np.isnan(error) for error in measured.values())
    history = [{"epoch": 1, **measured}, {"epoch": 2, "val_nmpjpe": 80.0}, {"epoch": 3, **measured}]
    assert best_epoch(history)["epoch"] == 2
    summary = train_stage._summary([history[0] | {"seconds": 1.0}], 80.0, TINY, "mm", run_folder)
    json.dumps(summary.values, allow_nan=False)  # what --json prints


def test_interrupted_run_goes_on_to_identical_bits(run_folder, labels, tmp_path, monkeypatch):
    loss, calls = training.coordinate_loss, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 4:  # in the second epoch
            raise KeyboardInterrupt
        return loss(*args)

    monkeypatch.setattr(training, "coordinate_loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(labels, TINY, tmp_path)
    assert len((tmp_path / LOG).read_text().splitlines()) == 1
    train(labels, TINY, tmp_path)
    assert_same_bits(weights_of(tmp_path), weights_of(run_folder))


def test_finished_run_is_left_as_it_is(run_folder, labels):
    before = (run_folder / LAST).read_bytes()
    history = train(labels, TINY, run_folder)
    assert len(history) == 3
    assert (run_folder / LAST).read_bytes() == before


@pytest.mark.parametrize("change", [{"epochs": 5}, {"learning_rate": 1e-4}, {"scale_range": (0.9, 1.1)}])
def test_run_with_other_options_is_not_continued(run_folder, labels, change):
    with pytest.raises(UsageError, match="overwrite"):
        train(labels, replace(TINY, **change), run_folder)


def test_run_on_other_labels_is_not_continued(run_folder, labels):
    moved = replace(labels, poses=replace(labels.poses, xyz=labels.poses.xyz + 1))
    with pytest.raises(UsageError, match="other labels"):
        train(moved, TINY, run_folder)


def test_network_learns_the_images_it_is_shown(labels, tmp_path):
    prepare_training_set(Recording.of(labels), TINY, tmp_path)
    samples, store = open_training_set(labels.poses.skeleton, tmp_path)
    dataset = CropDataset(store, samples, TINY, augment=False)
    crops, target, weight = (torch.stack(part) for part in zip(*(dataset[i] for i in range(4))))
    inputs = convert_crops(crops, CPU)
    network = build_network(17, replace(TINY, filters=32))
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(50):
        loss = training.coordinate_loss(soft_argmax(network(inputs))[0], target, weight, "l1")
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


def test_infinite_loss_stops_and_keeps_the_last_epoch(labels, tmp_path, monkeypatch):
    train(labels, replace(TINY, epochs=1), tmp_path / "good")
    real = training.coordinate_loss
    monkeypatch.setattr(training, "coordinate_loss", lambda *args: real(*args) * float("nan"))
    with pytest.raises(UsageError, match="lower learning rate"):
        train(labels, TINY, tmp_path / "bad")
    assert not (tmp_path / "bad" / LAST).exists()


def test_recording_without_poses_is_refused(labels, tmp_path):
    empty = replace(labels, poses=replace(labels.poses, xyz=np.full_like(labels.poses.xyz, np.nan)))
    with pytest.raises(GeometryError, match="0 images"):
        train(empty, TINY, tmp_path)


def test_learning_rate_falls_where_the_paper_says():
    options = replace(SMALL, epochs=140, lr_steps=(90 / 140, 120 / 140), learning_rate=1e-3)
    rates = [training.learning_rate(options, epoch) for epoch in (1, 90, 91, 120, 121, 140)]
    np.testing.assert_allclose(rates, [1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])


def test_loss_is_a_weighted_sum_over_coordinates():
    target, predicted = torch.zeros(2, 3, 3), torch.full((2, 3, 3), 0.5)
    weight = torch.tensor([[1.0, 0, 0], [1, 2, 0]])[..., None] * torch.ones(3)
    assert training.coordinate_loss(predicted, target, weight, "l1").item() == pytest.approx(12 * 0.5)
    assert training.coordinate_loss(predicted, target, weight, "smooth_l1").item() == pytest.approx(12 * 0.125)


def test_all_views_of_a_frame_are_in_one_batch_where_asked(labels, tmp_path):
    samples = collect_samples(Recording.of(labels), tmp_path, "self")
    part, options = samples.part("train"), replace(TINY, batch_size=4)
    together, mixed = (
        training.epoch_batches(samples, part, replace(options, together=t), epoch=1) for t in (True, False)
    )
    for batches in (together, mixed):
        assert sorted(np.concatenate(batches).tolist()) == part.tolist()
    assert all(len(set(samples.frames[batch])) == 1 for batch in together)
    assert any(len(set(samples.frames[batch])) > 1 for batch in mixed)


@pytest.mark.parametrize(("images", "size"), [(8, 32), (8, 8), (33, 32), (34, 32), (5, 4)])
@pytest.mark.parametrize("processes", [1, 2, 4])
@pytest.mark.parametrize("accumulate", [1, 3, 16])
def test_an_epoch_has_batches_whose_pieces_all_have_images(images, size, processes, accumulate):
    samples = SimpleNamespace(frame_count=images, frames=np.arange(images))
    batches = training.epoch_batches(samples, np.arange(images), replace(TINY, batch_size=size), 1, processes)
    assert sum(map(len, batches)) > images - max(2, processes)
    for batch in batches:
        pieces = [training.shares(batch, process, processes, accumulate) for process in range(processes)]
        assert sorted(i for of_one in pieces for piece in of_one for i in piece) == sorted(batch.tolist())
        assert len({len(of_one) for of_one in pieces}) == 1  # processes wait for each other after each
        assert all(piece for of_one in pieces for piece in of_one)


def test_more_processes_than_images_are_refused():
    samples = SimpleNamespace(frame_count=8, frames=np.arange(8))
    with pytest.raises(UsageError, match="9 processes share batches of 8 images"):
        training.epoch_batches(samples, np.arange(8), TINY, 1, 9)


def test_more_pieces_than_images_train(labels, tmp_path):
    assert train(labels, replace(TINY, epochs=1, batch_size=3), tmp_path, accumulate=16)


def test_batches_and_order_do_not_change_predictions(run_folder, labels):
    model, keypoints = open_engine(run_folder / BEST, "cpu"), labels.keypoints
    names, boxes = keypoints.images[:, 0].tolist(), keypoints.boxes()[:, 0]
    boxes[2] = np.nan
    first = predict_images(model, names, boxes, batch_size=2)
    second = predict_images(model, names[::-1], boxes[::-1], batch_size=16)
    assert first.images == tuple(names[:2] + names[3:])
    np.testing.assert_allclose(first.joints_3d, second.joints_3d[::-1], atol=0.5)
    np.testing.assert_allclose(first.joints_3d[:, 0], 0, atol=1e-9)


def test_unseen_joints_are_missing_from_predictions(labels, tmp_path):
    xyz = np.array(labels.poses.xyz)
    xyz[:, 9] = np.nan
    train(replace(labels, poses=replace(labels.poses, xyz=xyz)), replace(TINY, epochs=1), tmp_path)
    keypoints: Keypoints = labels.keypoints
    seen = predict_images(
        open_engine(tmp_path / BEST, "cpu"), keypoints.images[:1, 0].tolist(), keypoints.boxes()[:1, 0]
    )
    assert np.flatnonzero(np.isnan(seen.joints_3d[0, :, 0])).tolist() == [9]
    assert seen.confidence[0, 9] == 0


def test_train_then_predict(labels, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_labels(Path("labels.h5"), labels)
    small = {"preset": "small", "image_size": 64, "epochs": 1, "device": "cpu"}
    summary = train_stage.run(TrainOptions(pairs=Path("labels.h5"), **small))
    assert summary.values["model"] == "runs/default/model.pt"
    assert json.loads(Path("runs/default/options.json").read_text())["image_size"] == 64
    with pytest.raises(UsageError, match="overwrite"):
        train_stage.run(TrainOptions(pairs=Path("labels.h5"), **small, seed=4))
    train_stage.run(TrainOptions(pairs=Path("labels.h5"), **small, seed=4, overwrite=True))
    folder = str(Path(labels.keypoints.images[0, 0]).parent)
    summary = predict_stage.run(
        PredictOptions(images=[folder], box="image", no_refiner=True, overlay=Path("drawn"), device="cpu")
    )
    predictions = read_predictions(Path("pose.json"))
    assert summary.values["poses"] == len(predictions.images) == len(list(Path("drawn").iterdir())) == 7
    assert predictions.provenance["boxes"] == "whole image"
    np.testing.assert_allclose(predictions.boxes[0], [0, 0, 384, 384])


def test_a_run_that_goes_on_needs_its_initial_weights_no_more(run_folder, labels, here):
    """They are in last.pt; a run that begins is refused before any crop is cut."""
    write_labels(Path("labels.h5"), labels)
    tiny = {"image_size": 64, "epochs": 1, "batch_size": 8, "device": "cpu"}
    shutil.copy(run_folder / BEST, "start.pt")
    train_stage.run(TrainOptions(initial="start.pt", **tiny))
    Path("start.pt").unlink()
    train_stage.run(TrainOptions(initial="start.pt", **tiny))
    for begins in ({"overwrite": True}, {"name": "other"}):
        with pytest.raises(InputError, match=r"--initial start\.pt: no such file"):
            train_stage.run(TrainOptions(initial="start.pt", **begins, **tiny))
    assert Path("runs/default/model.pt").exists()


def write_two(labels: Labels, verdicts: tuple[str, str]) -> None:
    """`labels.h5` of two people, of whom the second is in all frames but the first one."""
    with writing_labels(Path("labels.h5"), labels.poses.frames) as writer:
        for person, own in ((writer, labels), (writer.another(labels.poses.frames[1:]), labels.between(1, 7))):
            person.append(own)
            person.judge(
                verdicts[person is not writer], ["cameras move"] if person is writer else ["arms", "cameras move"]
            )


def test_everyone_in_the_file_is_learned(labels, here, capsys):
    write_two(labels, ("warn", "warn"))
    with train_stage.open_recording(Path("labels.h5")) as recording:
        prepare_training_set(recording, TINY, here)
    said = capsys.readouterr().err
    assert "36 crops to learn from, 8 to choose the epoch by; 2 people: 20 of person1, 16 of person2" in said
    assert recording.doubts == ("cameras move", "person2: arms")
    assert "the labels of person1 and person2 were found doubtful" in said
    assert said.count("doubtful") == 1


@pytest.mark.parametrize("verdicts", [("fail", "pass"), ("pass", "fail")])
def test_nobody_is_learned_whose_labels_are_not_to_be_trusted(labels, here, verdicts):
    write_two(labels, verdicts)
    with pytest.raises(GeometryError, match="not to be trusted"):
        train_stage.run(TrainOptions(preset="small", device="cpu"))
    assert not Path("runs").exists()


def test_predict_takes_boxes_from_keypoints(run_folder, labels, tmp_path):
    write_labels(tmp_path / "labels.h5", labels)
    images, model, out = labels.keypoints.images[:2, 1].tolist(), run_folder / BEST, tmp_path / "pose.json"
    predict_stage.run(
        PredictOptions(images=images, model=model, boxes=tmp_path / "labels.h5", no_refiner=True, out=out, device="cpu")
    )
    np.testing.assert_allclose(read_predictions(out).boxes, labels.keypoints.boxes()[:2, 1], atol=1e-2)


class Nobody:
    name, skeleton = "nobody", skeleton("coco17")

    def detect(self, image):
        return np.empty((0, 17, 2)), np.empty((0, 17))


@pytest.mark.parametrize(("model", "no_refiner"), [(True, True), (True, False), (False, False)])
def test_predict_leaves_out_images_without_a_person(run_folder, labels, tmp_path, monkeypatch, model, no_refiner):
    options = {"images": [labels.keypoints.images[0, 0]], "out": tmp_path / "pose.json", "device": "cpu"}
    options |= {"model": run_folder / BEST if model else None, "no_refiner": no_refiner}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(predict_stage, "open_detector", lambda name, device: Nobody())
    with pytest.raises(GeometryError, match="nobody, or too little of anybody, was found"):
        predict_stage.run(PredictOptions(**options))
    assert not (tmp_path / "pose.json").exists()


def test_predict_without_a_model_or_with_a_bad_box_says_what_to_do(run_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="epitool train"):
        predict_stage.run(PredictOptions(images=["a.png"], no_refiner=True, device="cpu"))
    cv2.imwrite("a.png", np.zeros((8, 8, 3), np.uint8))
    for box, no_refiner in product(("1,2,3", "1,2,x,4", "0,0,-1,5", "nan,0,1,1"), (True, False)):
        with pytest.raises(UsageError, match="--box"):
            predict_stage.run(
                PredictOptions(images=["a.png"], model=run_folder / BEST, box=box, no_refiner=no_refiner, device="cpu")
            )


@pytest.mark.parametrize("name", ["tpu", "cuda:99", "meta"])
def test_device_that_is_not_there_is_refused(name):
    with pytest.raises(UsageError):
        pick_device(name)
