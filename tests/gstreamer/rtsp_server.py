#!/usr/bin/python3
"""GStreamer's own RTSP server as a camera: the judge of what our ingest understands.

Prints one line of JSON with its ports when it listens, and ends when its standard input does.
With an argument ADDR:PORT the open one listens there, alone.
Mounts: /h264 (with AAC), /h265, /mjpeg, and with H.264 /pcmu, /pcma, /opus, /g722 and /l16.
Two instances: one open, one that asks for Digest (admin / s3cret).
"""

import json
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

VIDEO = "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=25/1"
AUDIO = "audiotestsrc is-live=true wave=ticks samplesperbuffer=160 ! audioconvert ! audioresample"
H264 = (
    f"{VIDEO} ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 bitrate=300 "
    "! video/x-h264,profile=baseline ! h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96"
)
MOUNTS = {
    "/h264": f"{H264} {AUDIO} ! audio/x-raw,rate=16000,channels=1 ! avenc_aac ! aacparse ! rtpmp4gpay name=pay1 pt=97",
    "/h265": (
        f"{VIDEO} ! x265enc tune=zerolatency speed-preset=ultrafast key-int-max=25 bitrate=300 "
        "! h265parse config-interval=-1 ! rtph265pay name=pay0 pt=96"
    ),
    "/mjpeg": f"{VIDEO} ! jpegenc quality=60 ! rtpjpegpay name=pay0 pt=26",
    "/pcmu": f"{H264} {AUDIO} ! audio/x-raw,rate=8000,channels=1 ! mulawenc ! rtppcmupay name=pay1 pt=0",
    "/pcma": f"{H264} {AUDIO} ! audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay name=pay1 pt=8",
    "/opus": f"{H264} {AUDIO} ! audio/x-raw,rate=48000,channels=1 ! opusenc ! rtpopuspay name=pay1 pt=98",
    "/g722": f"{H264} {AUDIO} ! audio/x-raw,rate=16000,channels=1 ! avenc_g722 ! rtpg722pay name=pay1 pt=9",
    "/l16": f"{H264} {AUDIO} ! audio/x-raw,rate=44100,channels=1,format=S16BE ! rtpL16pay name=pay1 pt=98",
}


def serve(digest, where="127.0.0.1:0"):
    server = GstRtspServer.RTSPServer()
    address, port = where.rsplit(":", 1)
    server.set_address(address)
    server.set_service(port)
    permissions = None
    if digest:
        auth = GstRtspServer.RTSPAuth()
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        auth.add_digest("admin", "s3cret", token)
        server.set_auth(auth)
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("viewer", "media.factory.access", True)
        permissions.add_permission_for_role("viewer", "media.factory.construct", True)
    mounts = server.get_mount_points()
    for path, launch in MOUNTS.items():
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(f"( {launch} )")
        factory.set_shared(True)
        if permissions:
            factory.set_permissions(permissions)
        mounts.add_factory(path, factory)
    if server.attach(None) == 0:
        sys.exit("cannot listen")
    return server


def main():
    Gst.init(None)
    alone = sys.argv[1:2]
    servers = {"open": serve(False, *alone)} if alone else {"open": serve(False), "digest": serve(True)}
    print(json.dumps({name: server.get_bound_port() for name, server in servers.items()}), flush=True)
    loop = GLib.MainLoop()

    def follow():
        sys.stdin.buffer.read()
        loop.quit()

    threading.Thread(target=follow, daemon=True).start()
    loop.run()


main()
