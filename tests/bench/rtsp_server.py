"""Camera of bench_live.py: `rtsp_server.py FPS` sends JPEG images, each after its length, from stdin as H.264 by RTSP.

It prints its address, and a second line once somebody looks. `--check` tells whether GStreamer is there.
"""

import sys
import threading

PIPELINE = (
    "appsrc name=camera is-live=true do-timestamp=true format=time caps=image/jpeg,framerate={fps}/1 ! jpegdec"
    " ! videoconvert ! video/x-raw,format=I420 ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max={fps}"
    " ! rtph264pay config-interval=1 name=pay0 pt=96"
)


def gstreamer():
    """GStreamer, its server and its main loop, which are no packages of pip."""
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer

    return Gst, GstRtspServer, GLib


def serve(fps):
    gst, rtsp, glib = gstreamer()
    gst.init(None)
    server, factory = rtsp.RTSPServer(), rtsp.RTSPMediaFactory()
    server.set_service("0")  # any port that is free
    factory.set_shared(True)
    factory.set_launch(f"( {PIPELINE.format(fps=fps)} )")
    factory.connect("media-configure", begin, gst)
    server.get_mount_points().add_factory("/video", factory)
    server.attach(None)
    print(f"rtsp://127.0.0.1:{server.get_bound_port()}/video", flush=True)
    glib.MainLoop().run()


def begin(factory, media, gst):
    """Send once somebody looks."""
    camera = media.get_element().get_by_name("camera")
    threading.Thread(target=send, args=(camera, gst), daemon=True).start()


def send(camera, gst):
    print("looking", flush=True)
    while length := sys.stdin.buffer.read(4):
        camera.emit("push-buffer", gst.Buffer.new_wrapped(sys.stdin.buffer.read(int.from_bytes(length, "big"))))
    camera.emit("end-of-stream")


if __name__ == "__main__":
    gstreamer() if sys.argv[1] == "--check" else serve(sys.argv[1])
