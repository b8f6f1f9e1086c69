import csv
import json
import warnings
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from epitool.camera import Camera, Rig
from epitool.errors import InputError, UsageError
from epitool.io.labels_h5 import write_labels
from epitool.io.npz import read_pss
from epitool.io.predictions import write_predictions
from epitool.labels import Labels, split_frames
from epitool.metrics import mpjpe
from epitool.options import EvaluateOptions, PssFitOptions
from epitool.pose import Keypoints, Poses, Predictions
from epitool.skeleton import skeleton
from epitool.stages import evaluate, pss_fit

H36M = skeleton("h36m17")
F, V, SIZE = 40, 2, 200


def make_labels(unit="mm", frames=F, folder=""):
    """One moving body of random joints before two cameras at right angles."""
    rng = np.random.default_rng(0)
    xyz = rng.normal(0, 250, (1, 17, 3)) + np.cumsum(rng.normal(0, 30, (frames, 17, 3)), axis=0)
    turned = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    K = [[SIZE, 0, SIZE / 2], [0, SIZE, SIZE / 2], [0, 0, 1]]
    cameras = tuple(Camera(f"cam{i}", K, [], R, [0, 0, 4000], (SIZE, SIZE)) for i, R in enumerate((np.eye(3), turned)))
    rig = Rig(cameras, unit, "a person's height" if unit == "mm" else "none")
    images = [[f"{folder}cam{v}/{f:03}.png" for v in range(V)] for f in range(frames)]
    confidence = np.ones((frames, V, 17))
    sizes = np.full((V, 2), SIZE)
    keypoints = Keypoints(rig.project(xyz), confidence, np.arange(frames), rig.names, np.array(images), sizes, H36M)
    poses = Poses(xyz, np.ones((frames, 17)), np.arange(frames), H36M, unit, "world")
    return Labels(poses, keypoints, rig, np.zeros((frames, V, 17)), np.zeros((frames, V), dtype=bool))


def root_relative(labels):
    return labels.in_cameras - labels.in_cameras[:, :, :1]


def make_predictions(labels, noise=20.0, **changes):
    poses = root_relative(labels).reshape(-1, 17, 3)
    noisy = poses + np.random.default_rng(1).normal(0, noise, poses.shape)
    n = len(poses)
    images = tuple(labels.keypoints.images.ravel().tolist())
    made = Predictions(images, np.ones((n, 4)), noisy, np.ones((n, 17, 2)), np.ones((n, 17)), H36M, "mm", {})
    return replace(made, **changes)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = make_labels()
    write_labels(Path("labels.h5"), labels)
    return labels


def run(**changes):
    return evaluate.run(EvaluateOptions(**{"pss": (5,), "device": "cpu", **changes}))


def values(summary, row=0):
    return {metric["name"]: metric["value"] for metric in summary.values["rows"][row]["metrics"]}


def test_every_image_is_measured_against_its_own_view(folder):
    predictions = make_predictions(folder)
    order = np.random.default_rng(2).permutation(F * V)
    shuffled = make_predictions(
        folder, images=tuple(predictions.images[i] for i in order), joints_3d=predictions.joints_3d[order]
    )
    write_predictions(Path("pose.json"), shuffled)
    summary = run()
    expected = mpjpe(predictions.joints_3d, root_relative(folder).reshape(-1, 17, 3), 0).mean()
    assert values(summary)["MPJPE"] == pytest.approx(expected, abs=0.01)
    assert (summary.values["split"], summary.values["poses"]) == ("all", F * V)


def test_images_are_found_from_another_folder(folder, monkeypatch):
    Path("out").mkdir()
    write_predictions(Path("out/pose.json"), make_predictions(folder, noise=0))
    labels = Path("labels.h5").resolve()
    monkeypatch.chdir("out")
    assert values(run(truth=labels))["MPJPE"] == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("order", [("own.json", "strange.json"), ("strange.json", "own.json")])
def test_frames_that_one_of_two_was_trained_on_are_not_measured_in_any_order(folder, order):
    write_predictions(Path("own.json"), make_predictions(folder, provenance={"recording_id": folder.recording_id}))
    write_predictions(Path("strange.json"), make_predictions(folder, noise=30.0))
    values = run(predictions=[Path(name) for name in order]).values
    assert (values["split"], values["poses"]) == ("test", 12)


def test_model_of_this_recording_is_measured_on_the_test_part_only(folder, capfd):
    write_predictions(Path("pose.json"), make_predictions(folder, provenance={"recording_id": folder.recording_id}))
    assert run().values["poses"] == V * len(split_frames(F)["test"])
    assert "trained on this recording" in capfd.readouterr().err
    assert run(split="val").values["poses"] == V * len(split_frames(F)["val"])
    assert run(split="all").values["poses"] == V * F


def test_mean_pose_is_that_of_the_train_part(folder):
    write_predictions(Path("pose.json"), make_predictions(folder))
    summary = run(split="test")
    truth, parts = root_relative(folder), split_frames(F)
    mean = truth[parts["train"]].mean(axis=(0, 1))
    assert summary.values["rows"][1]["name"] == "mean pose"
    assert values(summary, row=1)["MPJPE"] == pytest.approx(mpjpe(mean, truth[parts["test"]], 0).mean(), rel=1e-5)


@pytest.mark.parametrize("units", [("arbitrary", "mm"), ("mm", "arbitrary")])
def test_unknown_scale_gives_no_mpjpe_and_says_why(folder, units):
    labels = make_labels(units[0])
    write_labels(Path("labels.h5"), labels)
    write_predictions(Path("pose.json"), make_predictions(labels, unit=units[1]))
    summary = run()
    given = values(summary)
    assert [name for name, value in given.items() if value is None] == ["MPJPE", "PCK@150", "AUC"]
    assert "n/a: MPJPE, PCK@150, AUC: no metric scale in the " in summary.text
    assert ("stature is 1700" in summary.text) == (units[0] == "arbitrary")


@pytest.mark.parametrize("labels", [True, False])
def test_truth_without_a_unit_has_the_stature_that_arbitrary_units_stand_for(folder, labels):
    """Cameras of another program, which state no unit, may be in metres."""
    found = []
    for scale in (0.001, 1.0, 3.0):
        if labels:
            made = make_labels("arbitrary")
            rig = made.rig.scaled(scale, "arbitrary", "none")
            write_labels(
                Path("labels.h5"), replace(made, rig=rig, poses=replace(made.poses, xyz=scale * made.poses.xyz))
            )
            write_predictions(Path("pose.json"), make_predictions(folder, noise=30))
            found.append(run())
        else:
            np.savez("truth.npz", xyz=scale * root_relative(folder)[:, 0])
            np.savez(
                "pose.npz", xyz_mm=root_relative(folder)[:, 0] + np.random.default_rng(0).normal(0, 30, (F, 17, 3))
            )
            found.append(run(truth=Path("truth.npz"), predictions=[Path("pose.npz")]))
    for name in ("NMPJPE", "PMPJPE", "NPCK@150"):
        first, *others = (values(summary)[name] for summary in found)
        assert others == pytest.approx([first] * 2)
        assert first > 10


def test_labels_are_measured_against_labels_by_frame_and_view(folder):
    """Triangulated labels with half the frames, one view, and a world of its own that is three times as large."""
    part = slice(0, F, 2)
    poses = replace(
        folder.poses, xyz=3 * folder.poses.xyz[part], confidence=np.ones((F // 2, 17)), frames=np.arange(F)[part]
    )
    keypoints = folder.keypoints.select_frames(np.arange(F)[part]).select_views(["cam1"])
    rig = folder.rig.select(["cam1"]).scaled(3, "arbitrary", "none")
    n = F // 2
    made = Labels(replace(poses, unit="arbitrary"), keypoints, rig, np.zeros((n, 1, 17)), np.zeros((n, 1), dtype=bool))
    write_labels(Path("made.h5"), made)
    summary = run(predictions=[Path("made.h5")])
    assert summary.values["poses"] == n
    assert values(summary)["NMPJPE"] == pytest.approx(0, abs=1e-3)
    assert max(map(len, summary.text.partition("\n\n")[0].splitlines()[:8])) <= 80  # the table
    assert values(summary)["mPSS@5"] == 100


def test_arrays_pair_in_order(folder):
    truth = np.random.default_rng(0).normal(0, 300, (30, 17, 3))
    np.savez("truth.npz", xyz_mm=truth)
    np.savez("ours.npz", xyz_mm=truth + 100)
    assert values(run(predictions=[Path("ours.npz")], truth=Path("truth.npz")))["MPJPE"] == pytest.approx(0, abs=1e-9)
    nobody = np.where(np.arange(30)[:, None, None] == 3, np.nan, truth)
    np.savez("ours.npz", xyz_mm=nobody)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(predictions=[Path("ours.npz")], truth=Path("truth.npz")).values["poses"] == 30
    np.savez("ours.npz", xyz_mm=truth[:9])
    with pytest.raises(InputError, match=r"9 poses, truth\.npz has 30"):
        run(predictions=[Path("ours.npz")], truth=Path("truth.npz"))


def test_clusters_come_from_the_file_that_fits_or_from_the_train_part(folder, capfd):
    write_predictions(Path("pose.json"), make_predictions(folder))
    assert run().values["pss"]["source"] == "fitted here"
    pss_fit.run(PssFitOptions(poses=Path("labels.h5"), k=(5, 7), out=Path("pss.npz"), seed=3, split="train"))
    assert read_pss(Path("pss.npz")).counted == V * len(split_frames(F)["train"])
    assert run().values["pss"]["source"] == "pss.npz"
    assert run(pss=(5, 6)).values["pss"]["source"] == "fitted here"
    assert "no clusters for k = 6" in capfd.readouterr().err
    with pytest.raises(InputError, match="no clusters for k = 6"):
        run(pss=(6,), pss_file=Path("pss.npz"))


def test_too_few_poses_for_clusters_give_no_score(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = make_labels(frames=1)
    write_labels(Path("labels.h5"), labels)
    write_predictions(Path("pose.json"), make_predictions(labels))
    summary = run()
    assert values(summary)["mPSS@5"] is None
    assert "do not make two PSS clusters" in summary.text


def test_file_says_what_every_number_is(folder):
    write_predictions(Path("pose.json"), make_predictions(folder))
    summary = run(protocol="epipolarpose", out=Path("deep/metrics.json"))
    stored = json.loads(Path("deep/metrics.json").read_text())
    assert {**stored, "out": str(Path("deep/metrics.json"))} == summary.values
    assert (stored["format"], stored["unit"], stored["skeleton"]) == ("epitool.metrics/1", "mm", "h36m17")
    pmpjpe = next(metric for metric in stored["rows"][0]["metrics"] if metric["name"] == "PMPJPE")
    assert (pmpjpe["protocol"], pmpjpe["root"], pmpjpe["alignment"]) == (
        "epipolarpose",
        "pelvis",
        "similarity, then root",
    )
    assert len(pmpjpe["joints"]) == 17
    assert f"{pmpjpe['value']:.1f}" in summary.text
    assert summary.text.isascii()
    assert max(map(len, summary.text.splitlines()[:7])) <= 100


def test_files_that_do_not_fit(folder):
    predictions = make_predictions(folder)
    n = len(predictions.images)
    other = skeleton("mpii16")
    other_joints = {
        "joints_3d": np.zeros((n, 16, 3)),
        "joints_2d": np.zeros((n, 16, 2)),
        "confidence": np.ones((n, 16)),
    }
    cases = (
        ({"skeleton": other, **other_joints}, {}, r"has 16 joints \(mpii16\), labels.h5 has 17 \(h36m17\)"),
        ({"images": tuple(f"else/{i}.png" for i in range(n))}, {}, "none of its 80 images is among the images"),
    )
    for changes, options, message in cases:
        write_predictions(Path("some.json"), replace(predictions, **changes))
        with pytest.raises(InputError, match=message):
            run(predictions=[Path("some.json")], **options)
    write_predictions(Path("some.json"), make_predictions(folder, joints_3d=np.full((n, 17, 3), np.nan)))
    with pytest.raises(InputError, match="none of 80 poses can be measured"):
        run(predictions=[Path("some.json")])
    for options, message in (({"protocol": "best"}, "--protocol best"), ({"split": "half"}, "--split half")):
        with pytest.raises(UsageError, match=message):
            run(predictions=[Path("some.json")], **options)
    with pytest.raises(UsageError, match="either predictions or a model"):
        run(predictions=[Path("some.json")], model=Path("model.pt"))


def test_some_images_without_truth_are_said(folder, capfd):
    predictions = make_predictions(folder)
    write_predictions(Path("pose.json"), replace(predictions, images=(*predictions.images[:-1], "else.png")))
    assert run().values["predictions"][0]["images_without_truth"] == 1
    assert "left out, for not being in labels.h5: 1 image" in capfd.readouterr().err


def test_nothing_to_measure(folder):
    with pytest.raises(InputError, match=r"no pose.json with its images, no runs/\*/model.pt"):
        run()


def test_newest_model_runs_on_the_test_part(folder, capfd):
    torch = pytest.importorskip("torch")
    from epitool.nn.card import ModelCard
    from epitool.nn.checkpoint import Model, save_model
    from epitool.nn.crops import bones
    from epitool.nn.network import build_network
    from epitool.options.network import NetworkOptions

    for name in folder.keypoints.images[split_frames(F)["test"]].ravel().tolist():
        Path(name).parent.mkdir(exist_ok=True)
        cv2.imwrite(name, np.zeros((SIZE, SIZE, 3), dtype=np.uint8))
    options = NetworkOptions(backbone="resnet18", image_size=64, filters=8)
    lengths, trained = np.full(len(bones(H36M)), 300.0), np.full(17, True)
    torch.manual_seed(0)
    weights = build_network(17, options).state_dict()
    card = ModelCard(options, H36M, trained, lengths, 1.0, "mm", "a person's height", folder.recording_id, 1, 0.0, 0.1)
    Path("runs/first").mkdir(parents=True)
    save_model(Path("runs/first/model.pt"), Model(weights, card))
    write_predictions(Path("pose.json"), make_predictions(folder, images=("else.png",) * (F * V)))
    summary = run()
    assert summary.values["predictions"][0]["path"] == str(Path("runs/first/model.pt"))
    assert (summary.values["split"], summary.values["poses"]) == ("test", V * len(split_frames(F)["test"]))
    said = capfd.readouterr().err
    assert "pose.json has no image of labels.h5" in said
    assert "running runs" in said
    assert "epipolarpose" not in said
    stated = run(protocol="epipolarpose").values["predictions"][0]["provenance"]
    assert "runs/first/model.pt is given the true depth of the root and the true intrinsics" in capfd.readouterr().err
    assert stated["camera"] == "true, of labels.h5, as --protocol epipolarpose has it"
    assert stated["depth"].endswith(stated["camera"])


@pytest.fixture
def arrays(tmp_path, monkeypatch):
    """True poses of twelve clips and two actions, a good prediction and a bad one."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 300, (120, 17, 3))
    context = {"clip_index": np.repeat(np.arange(12), 10), "action": np.repeat(["sit", "walk"], 60)}
    np.savez("truth.npz", xyz_mm=truth, **context)
    noise = np.where(np.arange(120) < 60, 10, 40)[:, None, None] * rng.normal(size=truth.shape)
    np.savez("good.npz", xyz_mm=truth + noise)
    np.savez("bad.npz", xyz_mm=truth + 1.5 * noise)
    return truth


def against_truth(*names, **changes):
    return run(predictions=[Path(name) for name in names], truth=Path("truth.npz"), split="all", **changes)


def test_actions_and_their_mean(arrays):
    summary = against_truth("good.npz", by=("action",))
    found = summary.values["rows"][0]["by_action"]["MPJPE"]
    means = [found[name]["value"] for name in ("sit", "walk")]
    assert means[1] == pytest.approx(4 * means[0], rel=0.1)
    assert found["mean of actions"]["value"] == pytest.approx(np.mean(means))
    assert [found[name]["counted"] for name in found] == [60, 60, 120]
    assert "good.npz, by action" in summary.text
    np.savez("truth.npz", xyz_mm=arrays)
    with pytest.raises(InputError, match="does not say what is done"):
        against_truth("good.npz", by=("action",))


def test_difference_of_two_files_is_told_from_nothing_pose_by_pose(arrays):
    summary = against_truth("good.npz", "bad.npz")
    found = summary.values["differences"][0]
    assert (found["name"], found["against"]) == ("bad.npz", "good.npz")
    difference, first, other = found["metrics"]["MPJPE"], *(summary.values["rows"][i]["metrics"][0] for i in (0, 1))
    assert difference["value"] == pytest.approx(other["value"] - first["value"])
    assert difference["value"] == pytest.approx(first["value"] / 2, rel=0.02)
    assert 0 < difference["interval"][0] < difference["value"] < difference["interval"][1]
    assert first["interval"][1] > other["interval"][0]  # that apart the two tell nothing
    assert "bad.npz against good.npz:" in summary.text
    same = against_truth("good.npz", "good.npz").values["differences"][0]["metrics"]["MPJPE"]
    assert (same["value"], same["interval"]) == (0, [0, 0])


def test_sequences_are_clips_or_else_stretches_of_a_recording(arrays, folder):
    assert against_truth_of_arrays(arrays).values["sequences"] == "the 12 clips"
    write_predictions(Path("pose.json"), make_predictions(folder))
    assert run().values["sequences"] == "20 stretches of one recording"
    few = run(split="test")
    assert few.values["sequences"] == "6 stretches of one recording"
    write_labels(Path("labels.h5"), make_labels(frames=4))
    write_predictions(Path("pose.json"), make_predictions(make_labels(frames=4)))
    short = run()
    assert short.values["rows"][0]["metrics"][0]["interval"] is None
    assert "no intervals: 4 sequences, 5 are needed" in short.text


def against_truth_of_arrays(arrays):
    summary = against_truth("good.npz")
    assert summary.values["rows"][0]["metrics"][0]["sequences"] == 12
    return summary


def test_fourteen_joints_are_found_by_name_whatever_the_skeleton(arrays):
    mpii = skeleton("mpii16")
    order = [H36M.joints.index(joint) for joint in mpii.joints]
    moved = arrays[:, order] + 10 * np.eye(3)[0] * (np.arange(16) != mpii.root)[:, None]
    np.savez("mpii.npz", xyz_mm=moved, joints=np.array(mpii.joints))
    with pytest.raises(InputError, match="--joints 14"):
        against_truth("mpii.npz")
    summary = against_truth("mpii.npz", joints="14")
    assert values(summary)["MPJPE"] == pytest.approx(10 * 13 / 14)
    assert summary.values["joints"] == list(skeleton("common14").joints)
    assert against_truth("good.npz", joints="17").values["joints"] == list(H36M.joints)
    with pytest.raises(InputError, match=r"mpii\.npz has no spine"):
        against_truth("mpii.npz", joints="17")
    with pytest.raises(UsageError, match="--joints 15"):
        against_truth("good.npz", joints="15")


def test_poses_in_metres_are_not_taken_for_millimetres(arrays):
    np.savez("metres.npz", xyz_mm=arrays / 1000)
    with pytest.raises(InputError, match=r"bodies are about .* mm in metres\.npz and .* mm in truth\.npz"):
        against_truth("metres.npz")
    np.savez("metres.npz", xyz_mm=np.where(np.arange(17)[:, None] == 3, np.inf, arrays))
    with pytest.raises(InputError, match="numbers up to inf, which are no poses"):
        against_truth("metres.npz")


def test_tables_hold_the_numbers_of_the_document(arrays):
    document = against_truth("good.npz", "bad.npz", table=Path("t.csv")).values
    with Path("t.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    for row in document["rows"]:
        for metric in row["metrics"]:
            found = [x for x in lines if (x["row"], x["by"], x["metric"]) == (row["name"], "", metric["name"])]
            assert len(found) == 1
            assert float(found[0]["value"]) == pytest.approx(metric["value"], rel=1e-5)
            assert float(found[0]["low"]) == pytest.approx(metric["interval"][0], rel=1e-5)
            assert (found[0]["protocol"], found[0]["alignment"]) == (metric["protocol"], metric["alignment"])
    wrist = [x for x in lines if (x["row"], x["part"], x["metric"]) == ("bad.npz", "left_wrist", "PMPJPE")]
    expected = document["rows"][1]["by_joint"]["PMPJPE"]["left_wrist"]["value"]
    assert float(wrist[0]["value"]) == pytest.approx(expected, rel=1e-5)
    assert sum(x["by"] == "difference" for x in lines) == len(document["differences"][0]["metrics"])


def test_rows_for_a_paper_are_in_its_order(arrays):
    Path("good_1.npz").write_bytes(Path("good.npz").read_bytes())
    document = against_truth("good_1.npz", table=Path("t.tex")).values
    comment, head, row = Path("t.tex").read_text().splitlines()[:3]
    assert comment.startswith("% Protocol standard, 17 joints of h36m17")
    assert head == r"Methods & MPJPE & NMPJPE & PMPJPE & PCK@150 & NPCK@150 & AUC & mPSS@5 \\"
    assert row.startswith(rf"good\_1.npz & {document['rows'][0]['metrics'][0]['value']:.2f} & ")
    against_truth("good_1.npz", table=Path("t.md"))
    lines = Path("t.md").read_text().splitlines()
    assert lines[0].startswith("| Methods | MPJPE | NMPJPE | PMPJPE |")
    assert {line.count("|") for line in lines[:4]} == {9}
    with pytest.raises(UsageError, match=r"name it \.csv, \.md or \.tex"):
        against_truth("good.npz", table=Path("t.xls"))


def test_one_pose_is_measured(arrays):
    np.savez("truth.npz", xyz_mm=arrays[:1])
    np.savez("good.npz", xyz_mm=arrays[:1] + 1)
    summary = against_truth("good.npz")
    assert values(summary)["MPJPE"] == pytest.approx(0, abs=1e-9)
    assert values(summary)["mPSS@5"] is None


@pytest.mark.parametrize(
    ("key", "wrong"),
    [("clip_index", np.zeros(3, int)), ("clip_index", np.zeros(120)), ("action", np.zeros((2, 2), int))],
)
def test_clips_and_actions_that_do_not_fit_the_poses(arrays, key, wrong):
    np.savez("truth.npz", xyz_mm=arrays, **{key: wrong})
    with pytest.raises(InputError, match=f"'{key}' is .* expected 120"):
        against_truth("good.npz")
