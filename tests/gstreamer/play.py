"""Plays files with GStreamer, from start to end and from moments in between, and tells what it saw.

    play.py SECONDS[,SECONDS…] FILE…

A line of JSON for each file: its duration in seconds, the numbers painted in its pictures, and the number that is
shown after a seek to each of the moments.
"""

import json
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

SIDE = 16
PATIENCE = 20 * Gst.SECOND


def number(sample):
    """The row of black and white squares of a picture, as a number."""
    caps = sample.get_caps().get_structure(0)
    stride = (caps.get_value("width") + 3) // 4 * 4
    buffer = sample.get_buffer()
    ok, memory = buffer.map(Gst.MapFlags.READ)
    assert ok
    row = 32 * stride
    bits = [memory.data[row + bit * SIDE + SIDE // 2] > 126 for bit in range(16)]
    buffer.unmap(memory)
    return sum(1 << bit for bit, white in enumerate(bits) if white)


def settle(pipeline, state):
    pipeline.set_state(state)
    answer = pipeline.get_state(PATIENCE)[0]
    message = pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR)
    if answer != Gst.StateChangeReturn.SUCCESS or message:
        raise SystemExit(f"{answer}: {message and message.parse_error()}")


def play(path, moments):
    text = (
        "filesrc name=file ! decodebin name=all all. ! queue ! videoconvert ! video/x-raw,format=GRAY8 "
        "! appsink name=sink sync=false max-buffers=4 all. ! queue ! audioconvert ! fakesink sync=false"
    )
    pipeline = Gst.parse_launch(text)
    pipeline.get_by_name("file").set_property("location", path)
    sink = pipeline.get_by_name("sink")
    settle(pipeline, Gst.State.PAUSED)
    _, duration = pipeline.query_duration(Gst.Format.TIME)
    pipeline.set_state(Gst.State.PLAYING)
    numbers = []
    while (sample := sink.emit("try-pull-sample", PATIENCE)) is not None:
        numbers.append(number(sample))
    if not sink.get_property("eos"):
        raise SystemExit(f"{path} does not go on after {len(numbers)} pictures")
    settle(pipeline, Gst.State.PAUSED)
    shown = []
    for moment in moments:
        flags = Gst.SeekFlags.FLUSH | Gst.SeekFlags.ACCURATE
        assert pipeline.seek_simple(Gst.Format.TIME, flags, int(moment * Gst.SECOND)), f"no seek to {moment}"
        shown.append(number(sink.emit("pull-preroll")))
    pipeline.set_state(Gst.State.NULL)
    return {"duration": duration / Gst.SECOND, "numbers": numbers, "shown": shown}


Gst.init(None)
wanted = [float(moment) for moment in sys.argv[1].split(",")]
for place in sys.argv[2:]:
    print(json.dumps(play(place, wanted)), flush=True)
