"""Phones and viewers made of aiortc, which shares no code with Nightjar: a stock client of the older systems."""

import asyncio
import json
import time

import aiohttp
from aiortc import RTCPeerConnection, RTCRtpSender, RTCSessionDescription, VideoStreamTrack
from aiortc.sdp import candidate_from_sdp
from av import VideoFrame


class Picture(VideoStreamTrack):
    """A moving picture, until it is told to stand still: the connection then stays up without a frame."""

    def __init__(self):
        super().__init__()
        self.frozen = asyncio.Event()
        self.last = None
        self.count = 0

    async def recv(self):
        if self.frozen.is_set():
            await asyncio.Future()
        pts, base = await self.next_timestamp()
        frame = VideoFrame(320, 240, "yuv420p")
        at = self.count * 4 % 320
        row = bytes(at) + b"\xc0" * (320 - at)
        frame.planes[0].update(row * 240)
        for plane in frame.planes[1:]:
            plane.update(bytes([self.count % 256]) * plane.buffer_size)
        frame.pts, frame.time_base = pts, base
        self.count += 1
        self.last = time.monotonic()
        return frame


def prefer(connection, codec):
    """Offers one codec only."""
    wanted = [c for c in RTCRtpSender.getCapabilities("video").codecs if c.name in (codec, "rtx")]
    for transceiver in connection.getTransceivers():
        if transceiver.kind == "video":
            transceiver.setCodecPreferences(wanted)


class Viewer:
    """Watches by WHEP and notes when which frame came."""

    def __init__(self):
        self.frames = []
        self.connection = RTCPeerConnection()

    async def watch(self, session, base, camera):
        self.connection.addTransceiver("video", direction="recvonly")

        @self.connection.on("track")
        def on_track(track):
            asyncio.ensure_future(self.count(track))

        await self.connection.setLocalDescription(await self.connection.createOffer())
        url = f"{base}/api/v1/cameras/{camera}/whep"
        headers = {"content-type": "application/sdp"}
        async with session.post(url, data=self.connection.localDescription.sdp, headers=headers) as answer:
            assert answer.status == 201, (answer.status, await answer.text())
            sdp = await answer.text()
        await self.connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    async def count(self, track):
        while True:
            try:
                await track.recv()
            except Exception:
                return
            self.frames.append(time.monotonic())

    async def more(self, than=None, patience=20):
        """Waits for a frame that comes after now, or after a moment."""
        than = time.monotonic() if than is None else than
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if self.frames and self.frames[-1] > than:
                return next(at for at in self.frames if at > than)
            await asyncio.sleep(0.01)
        raise AssertionError(f"no frame within {patience} s; {len(self.frames)} before")


class Phone:
    """Knows the legacy messages and nothing else."""

    def __init__(self, socket, room, obeys=True):
        self.socket, self.room, self.obeys = socket, room, obeys
        self.connection = self.picture = None
        self.commands = []
        self.offers = []
        self.candidates = 0
        self.joined = asyncio.Event()

    async def run(self):
        await self.send("join_room", {"room": self.room, "role": "publisher"})
        async for message in self.socket:
            if message.type != aiohttp.WSMsgType.TEXT:
                break
            await self.take(json.loads(message.data))

    async def take(self, message):
        if message.get("command") == "reconnect":
            self.commands.append((time.monotonic(), message))
            if self.obeys:
                await self.connection.close()
                await self.offer()
            return
        kind, data = message.get("type"), message.get("data") or {}
        if kind == "joined_room":
            self.joined.set()
            await self.offer()
        elif kind == "answer":
            await self.connection.setRemoteDescription(RTCSessionDescription(data["sdp"], "answer"))
        elif kind == "ice_candidate":
            self.candidates += 1
            candidate = candidate_from_sdp(data["candidate"].split(":", 1)[1])
            candidate.sdpMid, candidate.sdpMLineIndex = data.get("sdpMid"), data.get("sdpMLineIndex")
            await self.connection.addIceCandidate(candidate)
        elif kind == "error":
            raise AssertionError(message)

    async def offer(self):
        self.connection, self.picture = RTCPeerConnection(), Picture()
        self.connection.addTrack(self.picture)
        await self.connection.setLocalDescription(await self.connection.createOffer())
        self.offers.append(time.monotonic())
        description = self.connection.localDescription
        await self.send("offer", {"sdp": description.sdp, "type": "offer"})

    async def send(self, kind, data):
        await self.socket.send_str(json.dumps({"type": kind, "data": data}))


async def live(session, base, camera, patience=20):
    """Waits until a camera is live."""
    end = time.monotonic() + patience
    state = None
    while time.monotonic() < end:
        async with session.get(f"{base}/api/v1/cameras/{camera}") as answer:
            if answer.status == 200:
                state = (await answer.json())["state"]
                if state["name"] == "live":
                    return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{camera} is not live within {patience} s: {state}")
