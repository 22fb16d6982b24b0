"""Publishes by WHIP and watches by WHEP: python3 whip.py URL. Prints what it saw as JSON."""

import asyncio
import json
import sys
import time

import aiohttp
from aiortc import RTCPeerConnection, RTCSessionDescription

from peers import Picture, Viewer, live, prefer


async def publish(session, base, room, codec):
    connection, picture = RTCPeerConnection(), Picture()
    connection.addTrack(picture)
    prefer(connection, codec)
    await connection.setLocalDescription(await connection.createOffer())
    headers = {"content-type": "application/sdp"}
    began = time.monotonic()
    async with session.post(f"{base}/api/v1/whip/{room}", data=connection.localDescription.sdp, headers=headers) as answer:
        assert answer.status == 201, (answer.status, await answer.text())
        location, sdp = answer.headers["location"], await answer.text()
    await connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
    return connection, picture, base + location, began


async def main(base):
    seen = {}
    async with aiohttp.ClientSession() as session:
        for codec in ["H264", "VP8"]:
            room = codec.lower()
            connection, picture, location, began = await publish(session, base, room, codec)
            await live(session, base, room)
            became_live = time.monotonic() - began
            viewer = Viewer()
            asked = time.monotonic()
            await viewer.watch(session, base, room)
            first = await viewer.more(asked)
            # The publisher is born again; the viewer stays.
            await connection.close()
            connection, picture, other, again = await publish(session, base, room, codec)
            back = await viewer.more(again)
            assert viewer.connection.connectionState == "connected"
            async with session.get(f"{base}/api/v1/cameras/{room}") as answer:
                camera = await answer.json()
            assert camera["kind"] == "phone" and camera["tracks"][0]["codec"] == room, camera
            assert (camera["tracks"][0]["width"], camera["tracks"][0]["height"]) == (320, 240), camera
            async with session.get(f"{base}/api/v1/cameras/{room}/snapshot.jpg") as answer:
                still = answer.status
            async with session.delete(other) as answer:
                assert answer.status == 200
            seen[room] = {
                "live_ms": round(became_live * 1000),
                "first_frame_ms": round((first - asked) * 1000),
                "rebirth_ms": round((back - again) * 1000),
                "snapshot": still,
            }
            await connection.close()
            await viewer.connection.close()
    print(json.dumps(seen))


asyncio.run(main(sys.argv[1]))
