"""How late the lines of `predict` on a stream are: from the moment a frame is sent until its line can be read.

`python tests/bench/bench_live.py [SECONDS]` sends the sample recording's first view at 30 frames a second, forth and
back, over HTTP (multipart JPEG), through a pipe (MPEG-TS by ffmpeg) and by RTSP (H.264; GStreamer's server, where
Debian's `gir1.2-gst-rtsp-server-1.0` is installed), each to a process of `epitool predict`.
"""

from __future__ import annotations

import http.server
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import cv2
import numpy as np
import psutil

from epitool.io.sample import sample_recording

FPS = 30
FFMPEG = (
    "ffmpeg -loglevel error -f mjpeg -framerate 30 -i -"
    " -c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -f mpegts -"
)
RTSP_SERVER = Path(__file__).with_name("rtsp_server.py")
SYSTEM_PYTHON = "/usr/bin/python3"  # for which Debian packages GStreamer
SETTLED = 5  # lines before which what FFmpeg held back at the start is made up for


@dataclass
class Camera:
    """Sends images at their times.

    Attributes:
        images: JPEG files, sent again and again.
        seconds: For how long.
        sent: When each frame was sent, by `time.monotonic`.
    """

    images: list[bytes]
    seconds: float
    sent: list[float] = field(default_factory=list)

    def frames(self) -> Iterator[bytes]:
        begun = time.monotonic()
        for number in range(int(self.seconds * FPS)):
            time.sleep(max(0.0, begun + number / FPS - time.monotonic()))
            self.sent.append(time.monotonic())
            yield self.images[number % len(self.images)]


def film(scale: float) -> list[bytes]:
    """Every second frame of the first view (60 frames a second), forth and back."""
    video, images = cv2.VideoCapture(str(sample_recording().views[0])), []
    while (read := video.read())[0]:
        small = cv2.resize(read[1], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        images.append(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())
    return images[::2] + images[::-2]


def predicting(source: str, stdin: IO[bytes] | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "epitool", "predict", source, "--quiet"]
    return subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, text=True)


@contextmanager
def over_http(camera: Camera) -> Iterator[subprocess.Popen[str]]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            for image in camera.frames():
                head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(image)
                self.wfile.write(head + image + b"\r\n")

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield predicting(f"http://127.0.0.1:{server.server_port}/video")
    server.shutdown()


@contextmanager
def through_a_pipe(camera: Camera) -> Iterator[subprocess.Popen[str]]:
    ffmpeg = subprocess.Popen(FFMPEG.split(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def send() -> None:
        with ffmpeg.stdin as pipe:
            for image in camera.frames():
                pipe.write(image)

    threading.Thread(target=send, daemon=True).start()
    yield predicting("/dev/stdin", ffmpeg.stdout)
    ffmpeg.wait()


@contextmanager
def by_rtsp(camera: Camera) -> Iterator[subprocess.Popen[str]]:
    server = subprocess.Popen([SYSTEM_PYTHON, RTSP_SERVER, str(FPS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def send() -> None:
        server.stdout.readline()  # somebody looks
        with server.stdin as pipe:
            for image in camera.frames():
                pipe.write(len(image).to_bytes(4, "big") + image)
                pipe.flush()

    address = server.stdout.readline().decode().strip()
    threading.Thread(target=send, daemon=True).start()
    yield predicting(address)
    server.kill()


def measured(camera: Camera, process: subprocess.Popen[str]) -> str:
    """What the lines of `predict` say, and when they came."""
    lines, late, usage = [], [], []
    resources = psutil.Process(process.pid)
    process.stdout.readline()  # the head
    for text in process.stdout:
        lines.append(json.loads(text))
        late.append(time.monotonic() - camera.sent[lines[-1]["frame"]])
        usage.append((resources.memory_info().rss / 1e6, sum(resources.cpu_times()[:2])))
    ms, answering = 1000 * np.array(late)[SETTLED:], [1000 * line["latency"] for line in lines[SETTLED:]]
    memory, seconds = np.array(usage)[SETTLED:].T
    last = lines[-1]["frame"] + 1
    assert len(camera.sent) - last < FPS, "frames were lost on the way, so numbers do not tell when they were sent"
    return (
        f"{last} frames, {len(lines)} lines, {sum(line['dropped'] for line in lines)} dropped;"
        f" late by {np.median(ms):.0f} ms (median), {np.percentile(ms, 99):.0f} (99%),"
        f" {np.median(ms - answering):.0f} and {np.percentile(ms - answering, 99):.0f} of it until the frame arrived;"
        f" first line after {late[0]:.1f} s; {1000 * np.ptp(seconds) / (len(ms) - 1):.0f} ms of processor time a line;"
        f" {memory[0]:.0f} MB, {memory[-1]:.0f} at the end"
    )


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    gstreamer = subprocess.run([SYSTEM_PYTHON, RTSP_SERVER, "--check"], capture_output=True).returncode == 0
    ways = {
        "HTTP": over_http,
        **({"pipe": through_a_pipe} if shutil.which("ffmpeg") else {}),
        **({"RTSP": by_rtsp} if gstreamer else {}),
    }
    for scale in (0.5, 1.0):
        images = film(scale)
        for name, way in ways.items():
            camera = Camera(images, seconds)
            with way(camera) as process:
                print(f"{1080 * scale:.0f} x {1920 * scale:.0f} px, {name}: {measured(camera, process)}", flush=True)


if __name__ == "__main__":
    main()
