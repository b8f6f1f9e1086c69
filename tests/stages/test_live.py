"""`predict` of a stream: the newest frame is answered, older ones are dropped and counted, and every end is clean."""

import http.server
import itertools
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np
import pytest
from test_lifting import Posed

from epitool.errors import InputError, UsageError
from epitool.io import pose_lines
from epitool.io.predictions import read_predictions
from epitool.options import PredictOptions
from epitool.pose import Predictions
from epitool.skeleton import skeleton
from epitool.stages import predict
from epitool.stages.predict import live, stream

STEP = 8  # of grey from frame to frame, so that an image tells its number through JPEG


GRAIN = np.random.default_rng(0).integers(-2, 3, (240, 320, 3))  # without which FFmpeg waits for more than a frame


def jpeg(number):
    image = (GRAIN + STEP * number + STEP // 2).astype(np.uint8)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()


def number_of(image):
    return int(image.mean() // STEP)


class Source:
    """A camera on the network: sends the frames that it is told to, as multipart JPEG, until it is told to end."""

    def __init__(self):
        self.wanted, self.ended, self.changed = 0, False, threading.Condition()
        source = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                if not self.path.startswith("/video"):
                    return self.send_error(404)
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                for number in source.numbers():
                    data = jpeg(number)
                    head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data)
                    self.wfile.write(head + data + b"\r\n")
                return None

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://me:secret@127.0.0.1:{self.server.server_port}/video?key=secret"

    def numbers(self):
        for number in itertools.count():
            with self.changed:
                while self.wanted == number:
                    if self.ended:
                        return
                    self.changed.wait()
            yield number

    def send(self, count, end=False):
        with self.changed:
            self.wanted, self.ended = self.wanted + count, end
            self.changed.notify_all()


@pytest.fixture
def source():
    source = Source()
    yield source
    source.send(0, end=True)
    source.server.shutdown()
    source.server.server_close()


@pytest.fixture
def streams(monkeypatch, tmp_path):
    """The streams that are opened; the detector sees somebody in every image."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(predict, "open_detector", lambda *_: Posed())
    opened = []

    class Kept(stream.Stream):
        def __init__(self, *given):
            super().__init__(*given)
            opened.append(self)

    monkeypatch.setattr(live, "Stream", Kept)
    return opened


def until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.002)


def lines_of(path="live.jsonl"):
    head, *lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
    return head, lines


def run(source, **options):
    return predict.run(PredictOptions(images=[source.address], out=Path("live.jsonl"), **options))


def test_a_slow_answer_is_followed_by_the_newest_frame_and_what_came_meanwhile_is_counted(
    source, streams, monkeypatch
):  # fmt: skip
    """While frame 0 is answered 9 more arrive; the next answer is of frame 9, at its time, and not of frame 1."""
    seen, find = [], Posed.detect

    def slow(self, image):
        if threading.current_thread() is threading.main_thread():  # the mirror image is looked at beside
            seen.append(number_of(image))
            if len(seen) == 1:
                source.send(9)
                until(lambda: streams[0].arrived == 10)
            elif len(seen) == 2:
                source.send(3, end=True)
                until(lambda: streams[0].arrived == 13)
        return find(self, image)

    monkeypatch.setattr(Posed, "detect", slow)
    source.send(1)
    begin = time.monotonic()
    summary = run(source)
    head, lines = lines_of()
    assert all(0 < line["latency"] < time.monotonic() - begin for line in lines)
    assert seen == [0, 9, 12] == [line["frame"] for line in lines]
    assert [line["dropped"] for line in lines] == [0, 8, 2]
    assert lines[0]["time"] == 0 < lines[1]["time"] <= lines[2]["time"]
    assert summary.values["frames"] == 13
    assert summary.values["answered"] == 3 == summary.values["poses"]
    assert summary.values["dropped"] == 10 == sum(line["dropped"] for line in lines)
    assert summary.values["ended"] == "end"
    assert "3 poses by the shipped unit in 3 of 13 frames" in summary.text
    assert "10 dropped" in summary.text
    assert head["format"] == "epitool.live-poses/1"
    assert len(head["joints"]) == len(lines[0]["joints_3d"]) == len(lines[0]["joints_2d"]) == 17


def test_a_line_holds_what_pose_json_holds_of_the_same_image(source, streams):
    source.send(1, end=True)
    run(source, height="1.8m")
    head, (line,) = lines_of()
    cv2.imwrite("0.png", cv2.imdecode(np.frombuffer(jpeg(0), np.uint8), cv2.IMREAD_COLOR))
    predict.run(PredictOptions(images=["0.png"], height="1.8m"))
    stored = json.loads(Path("pose.json").read_text())
    assert {key: head[key] for key in stored if key not in ("format", "poses")} == {
        key: stored[key] for key in stored if key not in ("format", "poses")
    }
    assert {key: value for key, value in stored["poses"][0].items() if key != "image"} == {
        key: line[key] for key in line if key not in ("frame", "time", "latency", "dropped")
    }
    assert len(read_predictions("pose.json").images) == 1


def test_several_people_in_a_stream_are_said_once(source, streams, monkeypatch, capsys):
    monkeypatch.setattr(Posed, "people", 2)
    source.send(1, end=True)
    run(source)
    said = "several people in 1 frame; the one seen best is answered for, and followed"
    assert capsys.readouterr().err.count(said) == 1


def test_secrets_of_an_address_are_written_nowhere(source, streams, capsys):
    source.send(2, end=True)
    summary = run(source)
    said = capsys.readouterr()
    assert "secret" not in summary.text + json.dumps(summary.values) + said.err + Path("live.jsonl").read_text()
    assert "http://127.0.0.1" in summary.text


def test_frames_without_a_person_have_lines_too(source, streams, monkeypatch):
    find = Posed.detect
    monkeypatch.setattr(
        Posed, "detect", lambda self, image: tuple(of_all[: number_of(image) > 0] for of_all in find(self, image))
    )
    source.send(1)

    def second():
        until(Path("live.jsonl").exists)
        source.send(1, end=True)

    sender = threading.Thread(target=second)
    sender.start()
    summary = run(source)
    sender.join()
    _, lines = lines_of()
    assert [line["joints_3d"] is None for line in lines] == [True, False]
    assert [line["confidence"] is None for line in lines] == [True, False]
    assert "1 pose by" in summary.text
    assert "in 2 of 2 frames" in summary.text


def test_a_stream_that_falls_silent_has_dropped_out(source, streams, monkeypatch):
    monkeypatch.setattr(stream, "_SILENT_S", 0.3)
    source.send(2)
    summary = run(source)
    assert isinstance(summary.failure, InputError)
    assert "no frame came for 0.3 s" in str(summary.failure)
    assert summary.values["ended"] == "dropped out"
    assert summary.values["frames"] == 2
    assert len(lines_of()[1]) == summary.values["answered"]


def test_a_stream_that_cannot_be_opened_makes_no_file(source, streams):
    source.address = source.address.replace("/video", "/nothing")
    with pytest.raises(InputError, match=r"http://127.0.0.1:\d+/nothing: cannot be opened; is the address right"):
        run(source)
    with pytest.raises(InputError, match="camera 97: cannot be opened; is there such a camera"):
        predict.run(PredictOptions(images=["97"]))
    assert not Path("live.jsonl").exists()


def test_ctrl_c_before_any_frame_says_that_nothing_is_written(source, streams, monkeypatch):
    stop = threading.Event()
    stop.set()
    monkeypatch.setattr(live, "until_interrupted", lambda: nullcontext(stop))
    summary = run(source)
    assert re.fullmatch(
        r"http://127.0.0.1:\d+/video: no frame was answered and nothing written; stopped by Ctrl-C", summary.text
    )
    assert summary.values["answered"] == 0
    assert summary.failure is None
    assert not Path("live.jsonl").exists()


def test_a_pipe_that_nobody_writes_to_is_given_up(streams, monkeypatch):
    monkeypatch.setattr(stream, "_OPENING_S", 0.3)
    os.mkfifo("video")
    with pytest.raises(InputError, match="video: sends no frame within"):
        predict.run(PredictOptions(images=["video"]))
    Path("video").open("wb").close()  # the reader's thread goes on, and ends


def test_a_pipe_of_jpegs_is_a_stream(streams, capsysbinary):
    os.mkfifo("video")
    writer = threading.Thread(target=lambda: Path("video").write_bytes(b"".join(map(jpeg, range(30)))))
    writer.start()
    summary = predict.run(PredictOptions(images=["video"]))
    writer.join()
    assert summary.values["frames"] == 30
    assert summary.values["out"] == "-"
    head, *lines = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert head["source"] == "video"
    assert lines[-1]["frame"] == 29
    assert sum(line["dropped"] + 1 for line in lines) == 30


def test_a_pipe_of_no_video_is_refused(streams):
    os.mkfifo("video")
    writer = threading.Thread(target=lambda: Path("video").write_bytes(b"no video\n" * 2000))
    writer.start()
    with pytest.raises(InputError, match=r"video: (cannot be opened|holds no frame)"):
        predict.run(PredictOptions(images=["video"]))
    writer.join()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"smooth": True}, "those after have yet to come"),
        ({"overlay": Path("drawn")}, "--overlay: a stream"),
        ({"boxes": Path("keypoints.h5")}, "--boxes: holds"),
        ({"out": Path("pose.json")}, "what is written is .jsonl"),
        ({"images": ["0", "a.jpg"]}, "is predicted alone"),
    ],
)
def test_what_makes_no_sense_of_a_stream_is_refused(tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=words):
        PredictOptions(**{"images": ["rtsp://10.0.0.7/main"], **options})


def test_a_folder_of_that_name_is_no_camera(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert PredictOptions(images=["0"]).stream == "0"
    Path("0").mkdir()
    assert PredictOptions(images=["0"]).stream is None
    assert PredictOptions(images=["0"]).out == Path("pose.json")
    with pytest.raises(UsageError, match=r"what is written is \.json;"):
        PredictOptions(images=["0"], out=Path("a.jsonl"))


def test_a_full_disk_leaves_whole_lines(tmp_path):
    path, nothing = tmp_path / "live.jsonl", np.empty((0, 17, 3))
    nobody = Predictions((), np.empty((0, 4)), nothing, nothing[..., :2], nothing[..., 0], skeleton("h36m17"), "mm", {})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))  # of what a file may hold
    try:
        with pose_lines.PoseLines(path) as lines:
            lines.begin(nobody, "camera 0", 0.0)
            with pytest.raises(InputError, match=r"cannot write .*live\.jsonl"):
                all(lines.add(nobody, {"frame": frame}) is None for frame in range(100))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    _, written = lines_of(path)
    assert [line["frame"] for line in written] == list(range(len(written)))
    assert 10 < len(written) < 100


def test_ctrl_c_ends_with_the_summary_and_whole_lines(source, tmp_path):
    (tmp_path / "live.py").write_text(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore it
        f"sys.path[:0] = {[str(Path(__file__).parent)]!r}\n"
        "from test_lifting import Posed\n"
        "from epitool.stages import predict\n"
        "predict.open_detector = lambda *_: Posed()\n"
        "from epitool.cli import main\n"
        f"sys.argv = ['epitool', 'predict', {source.address!r}]\n"
        "main()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "live.py"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    source.send(1)
    got = [process.stdout.readline() for _ in range(2)]
    source.send(5)
    got.append(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    rest, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "stopped by Ctrl-C" in said
    assert "Traceback" not in said
    assert rest == "" or rest.endswith("\n")
    assert all(json.loads(line) for line in [*got, *rest.splitlines()])
