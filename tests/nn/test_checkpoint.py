"""A checkpoint comes back as it was; one that is damaged or made to harm is refused in one line, and runs no code."""

import io
import json
import pickle
import tarfile
import warnings
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from epitool.detectors import checkpoint as detector_module
from epitool.detectors.checkpoint import CheckpointDetector
from epitool.errors import CheckpointError, InputError
from epitool.nn.card import ModelCard
from epitool.nn.checkpoint import Model, load_model, load_tensors, save_model
from epitool.nn.crops import CropConvention, bones
from epitool.nn.network import build_network
from epitool.nn.weights import read_initial
from epitool.options.network import SMALL
from epitool.skeleton import skeleton
from epitool.stages.predict import answering

H36M = skeleton("h36m17")
TINY = replace(SMALL, image_size=64, filters=4)


def some_card(**changes) -> ModelCard:
    lengths = np.linspace(100, 400, len(bones(H36M)))
    lengths[3] = np.nan
    trained = np.arange(17) != 9
    return replace(ModelCard(TINY, H36M, trained, lengths, 1.1, "mm", "height", "abc", 3, 41.5, 0.9), **changes)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.pt"
    save_model(path, Model(build_network(17, TINY).state_dict(), some_card()))
    return path


def refused(path: Path) -> str:
    """Checks that the file is refused in one line that names it, whatever reads it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CheckpointError) as caught:
            load_model(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(path))
    return str(caught.value)


def test_doubts_about_the_labels_stay_with_the_network_and_earlier_files_have_none(tmp_path, model_file):
    card = some_card(doubts=("view cam4: is left out",), mean_pose_error=40.0)
    save_model(tmp_path / "model.pt", Model(build_network(17, TINY).state_dict(), card))
    loaded = load_model(tmp_path / "model.pt").card
    assert (loaded.doubts, loaded.mean_pose_error) == (card.doubts, 40.0)
    plain = card.to_plain()
    del plain["doubts"], plain["mean_pose_error"]
    assert ModelCard.from_plain(plain).doubts == ()
    assert np.isnan(ModelCard.from_plain(plain).mean_pose_error)


@pytest.mark.parametrize("mean", [30.0, 60.0, np.nan])
def test_who_is_no_better_than_the_mean_pose_is_warned_of(tmp_path, mean, capfd):
    save_model(tmp_path / "model.pt", Model(build_network(17, TINY).state_dict(), some_card(mean_pose_error=mean)))
    engine = answering._open_engine(tmp_path / "model.pt", "cpu", False)
    assert ("no better than always answering the mean pose" in capfd.readouterr().err) == (mean < 41.5)
    said = answering.held_out_error_text(answering.Answerer(engine, tmp_path / "model.pt", None, None, ""))
    assert ("(always answering the mean pose:" in said) == np.isfinite(mean)


class Harmful:
    """Unpickled, it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def as_zip(content, path: Path) -> None:
    torch.save(content, path)


def as_legacy(content, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def as_pickle(content, path: Path) -> None:
    path.write_bytes(pickle.dumps(content))


def as_tar(content, path: Path) -> None:
    """The first format of PyTorch, a true tar, whose parts are pickles."""
    with tarfile.open(path, "w") as archive:
        for name in ("storages", "tensors", "pickle"):
            part = pickle.dumps(content)
            entry = tarfile.TarInfo(name)
            entry.size = len(part)
            archive.addfile(entry, io.BytesIO(part))


WRITERS = [as_zip, as_legacy, as_pickle, as_tar]
WRAPS = [
    lambda harm: harm,
    lambda harm: {"format": "epitool.model/1", "weights": harm},
    lambda harm: {"state_dict": {"conv1.weight": harm}, "epoch": [[{"a": harm}]]},
]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("wrap", WRAPS)
def test_code_in_a_checkpoint_does_not_run(tmp_path, write, wrap):
    path, marker = tmp_path / "model.pth.tar", tmp_path / "ran"
    write(wrap(Harmful(marker)), path)
    refused(path)
    assert not marker.exists()


def test_the_harmful_object_would_have_run(tmp_path):
    pickle.loads(pickle.dumps(Harmful(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


class Disguised:
    """A number of NumPy whose parts would run code."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return type(np.float64(0)).__reduce__(np.float64(0))[0], (np.dtype("O"), Harmful(self.marker))


@pytest.mark.parametrize("write", [as_zip, as_legacy])
def test_numbers_of_numpy_beside_the_weights_are_passed_over_without_running_code(tmp_path, write):
    path, marker = tmp_path / "a.pt", tmp_path / "ran"
    write({"score": np.float64(54.9), "steps": np.int32(3), "epoch": 2}, path)
    before = set(torch.serialization.get_safe_globals())
    assert load_tensors(path)["epoch"] == 2
    assert set(torch.serialization.get_safe_globals()) == before
    write({"score": Disguised(marker)}, path)
    refused(path)
    assert not marker.exists()


@pytest.mark.parametrize("write", [as_zip, as_legacy])
def test_truncated_checkpoint_is_refused_wherever_it_ends(tmp_path, write):
    path = tmp_path / "model.pt"
    write({"state_dict": {"conv1.weight": torch.randn(64, 3, 7, 7)}, "epoch": 3}, path)
    content = path.read_bytes()
    for end in np.unique(np.linspace(0, len(content) - 1, 60).astype(int)):
        path.write_bytes(content[:end])
        refused(path)


@pytest.mark.parametrize("share", [0.001, 0.5, 0.99, 0.99999])
def test_truncated_model_is_refused(model_file, tmp_path, share):
    content = model_file.read_bytes()
    (tmp_path / "model.pt").write_bytes(content[: int(len(content) * share)])
    refused(tmp_path / "model.pt")


@pytest.mark.parametrize("write", [as_zip, as_legacy])
def test_changed_bytes_never_cause_more_than_a_refusal(tmp_path, write):
    path, rng = tmp_path / "model.pt", np.random.default_rng(0)
    write({"state_dict": {"conv1.weight": torch.randn(8, 3)}, "epoch": 3, "nested": [{"a": (1, 2.5)}] * 4}, path)
    content = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(150):
        damaged = content.copy()
        damaged[rng.integers(0, len(content), rng.integers(1, 8))] = rng.integers(0, 256)
        path.write_bytes(damaged.tobytes())
        refused(path)


def test_archive_that_unpacks_to_more_than_it_is_is_refused(tmp_path):
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
        archive.writestr("archive/data/0", bytes(10**8))
    assert "declares 1000000" in refused(path)


@pytest.mark.parametrize("count", [2**31 - 1, 2**61])
def test_legacy_file_that_declares_a_huge_tensor_is_refused(tmp_path, count):
    path = tmp_path / "model.pt"
    as_legacy({"state_dict": {"conv1.weight": torch.zeros(77)}}, path)
    content = path.read_bytes()
    short = pickle.dumps(77, 2)[2:-1]
    long = pickle.dumps(count, 2)[2:-1]
    assert content.count(short) >= 2  # of the storage, and of the tensor
    path.write_bytes(content.replace(short, long))
    refused(path)


def test_deeply_nested_checkpoint_is_refused(tmp_path):
    junk = b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."
    path = tmp_path / "model.pt"
    path.write_bytes(junk)
    refused(path)
    nested = {}
    for _ in range(200):
        nested = {"state_dict": nested}
    torch.save(nested, path)
    refused(path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("labels.h5", b"\x89HDF\r\n epitool.labels/1", "holds labels with 3D joints, not a network"),
        ("pose.json", b'{"format": "epitool.poses/1"}', "holds predicted poses, not a network"),
        ("cam1.mp4", b"....ftypisom", "is a video, not a network"),
    ],
)
def test_a_file_of_another_kind_is_called_what_it_is(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_bytes(content)
    assert said in refused(path)
    with pytest.raises(CheckpointError, match=said):
        read_initial(str(path), "resnet18")


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(InputError, match="is a folder, a file is expected"):
        load_model(tmp_path)


def change_weights(name, value):
    def change(content):
        content["weights"][name] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.update(format="epitool.refiner/2"), "holds a refinement unit, not a network"),
        (lambda c: c.update(format="epitool.model/9"), "its format is 'epitool.model/9'"),
        (lambda c: c.update(joints=["a", "b"]), "joints"),
        (lambda c: c.update(weights={}), "tensors of a resnet18 pose network for 17 joints are missing"),
        (lambda c: c.update(weights=[1, 2]), "does not fit together"),
        (lambda c: c.update(weights=None), "does not fit together"),
        (lambda c: c.update(convention={"box_margin": 2.0}), "box_margin"),
        (lambda c: c["options"].update(backbone="vgg"), "vgg"),
        (lambda c: c["options"].update(backbone="resnet50"), "tensors of a resnet50 pose network"),
        (lambda c: c["options"].update(image_size="large"), "does not fit together"),
        (
            lambda c: c["options"].update(image_size=32 * 10**9),
            "final_layer.weight is 272x4x1x1, expected 136000000",
        ),
        (lambda c: c["options"].update(filters=10**25), "does not fit together"),
        (lambda c: c.update(trained=[True] * 3), "does not fit together"),
        (lambda c: c.update(bone_lengths=torch.zeros(2)), "does not fit together"),
        (lambda c: c.update(sharpness=[{}]), "does not fit together"),
        (change_weights("bn1.bias", torch.full((64,), torch.nan)), "bn1.bias holds numbers that are not finite"),
        (change_weights("bn1.bias", torch.zeros(64, dtype=torch.complex64)), "bn1.bias holds torch.complex64"),
        (change_weights("bn1.bias", {"a": [1]}), "bn1.bias is dict, expected 64"),
        (change_weights("bn1.bias", torch.zeros(64, device="meta")), "bn1.bias is no plain tensor"),
        (change_weights(3, torch.zeros(64)), "3 is no tensor"),
    ],
)
def test_checkpoint_that_does_not_fit_together_is_refused(model_file, tmp_path, change, said):
    content = torch.load(model_file, weights_only=True)
    change(content)
    torch.save(content, tmp_path / "model.pt")
    assert said in refused(tmp_path / "model.pt")


def test_large_but_finite_weights_are_taken(model_file, tmp_path):
    content = torch.load(model_file, weights_only=True)
    content["weights"]["bn1.bias"].fill_(3e38)  # they add up to infinity
    torch.save(content, tmp_path / "model.pt")
    load_model(tmp_path / "model.pt")


def test_model_comes_back_as_it_was(model_file):
    model, card = load_model(model_file), some_card()
    assert model.card.to_plain() == json.loads(json.dumps(card.to_plain(), allow_nan=False)) | {"options": asdict(TINY)}
    np.testing.assert_array_equal(model.card.bone_lengths, card.bone_lengths)
    assert model.card.scale_rule == "bone lengths of the training labels"
    expected = build_network(17, TINY).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.weights.items())


def test_to_open_a_network_leaves_the_global_generator_alone(model_file):
    before = torch.random.get_rng_state()
    load_model(model_file).network(torch.device("cpu"))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_missing_checkpoint_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(InputError, match="epitool train"):
        load_model(tmp_path / "model.pt")


def test_joints_as_sharp_as_in_validation_count_as_seen_and_uniform_heatmaps_do_not():
    for sharpness in (0.7, 0.98):
        card = some_card(sharpness=sharpness)
        uniform, nothing, expected, peak = card.confidence(np.array([0.5, 0.0, sharpness, 1.0]))
        assert nothing < uniform < 0.5 or sharpness < 0.9
        assert nothing < uniform < expected < peak <= 1
        assert expected == pytest.approx(0.8)


def detector(path: Path, **changes) -> CheckpointDetector:
    """One with heatmaps that are not uniform, as those of an untrained network are."""
    weights = build_network(17, TINY).state_dict()
    weights["final_layer.weight"] *= 1e6
    save_model(path, Model(weights, some_card(**changes)))
    return CheckpointDetector(path, "cpu")


IMAGE = np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8)


@pytest.mark.parametrize("supervision", ["self", "full", "2d"])
def test_network_of_any_supervision_serves_as_detector(tmp_path, supervision):
    found = detector(tmp_path / "model.pt", options=replace(TINY, supervision=supervision), sharpness=0.5)
    xy, confidence = found.detect(IMAGE)
    assert (xy.shape, confidence.shape) == ((1, 17, 2), (1, 17))
    assert np.flatnonzero(np.isnan(xy[0, :, 0])).tolist() == [9]
    assert confidence[0, 9] == 0
    assert found.skeleton == H36M


def test_detector_that_is_sure_of_no_joint_finds_nobody(tmp_path):
    xy, confidence = detector(tmp_path / "model.pt", sharpness=1.0).detect(IMAGE)
    assert (xy.shape, confidence.shape) == ((0, 17, 2), (0, 17))


def test_detector_looks_at_a_box_with_the_margin_of_its_network(tmp_path, monkeypatch):
    boxes, crop = [], detector_module.crop_image
    monkeypatch.setattr(detector_module, "crop_image", lambda image, box, n: boxes.append(box) or crop(image, box, n))
    for margin in (1.25, 2.0):
        detector(tmp_path / "model.pt", sharpness=0.5, convention=CropConvention(margin)).detect(IMAGE)
    assert boxes[3][2] / boxes[1][2] == pytest.approx(2.0 / 1.25)
