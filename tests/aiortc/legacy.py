"""A phone of the older systems freezes while connected: python3 legacy.py URL. Prints what it saw as JSON."""

import asyncio
import json
import sys
import time

import aiohttp

from peers import Phone, Viewer, live


async def main(base):
    seen = {}
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(f"{base}/signal") as socket, session.ws_connect(f"{base}/signal") as other:
            phone, stubborn = Phone(socket, "yard"), Phone(other, "shed", obeys=False)
            running = [asyncio.ensure_future(phone.run()), asyncio.ensure_future(stubborn.run())]
            await live(session, base, "yard")
            await live(session, base, "shed")
            viewer = Viewer()
            asked = time.monotonic()
            await viewer.watch(session, base, "yard")
            await viewer.more(asked)

            last = phone.picture.last
            phone.picture.frozen.set()
            stubborn.picture.frozen.set()
            while len(phone.commands) == 0:
                assert time.monotonic() - last < 14, "no command"
                last = max(last, phone.picture.last) if len(phone.offers) == 1 else last
                await asyncio.sleep(0.02)
            told, message = phone.commands[0]
            assert message == {"command": "reconnect"}, message
            assert 10 <= told - last <= 12, told - last
            back = await viewer.more(told)
            assert viewer.connection.connectionState == "connected"
            seen["command_after_s"] = round(told - last, 2)
            seen["command_to_frame_ms"] = round((back - told) * 1000)
            seen["server_candidates"] = phone.candidates

            # The other one gets the next command: ten seconds without an offer, then ten more, give or take.
            while len(stubborn.commands) < 2:
                assert time.monotonic() - stubborn.commands[0][0] < 26, "no second command"
                await asyncio.sleep(0.05)
            gap = stubborn.commands[1][0] - stubborn.commands[0][0]
            assert 17.5 <= gap <= 23.5, gap
            seen["second_command_after_s"] = round(gap, 2)
            assert len(phone.commands) == 1, phone.commands
            for task in running:
                task.cancel()
            await phone.connection.close()
            await stubborn.connection.close()
            await viewer.connection.close()
    print(json.dumps(seen))


asyncio.run(main(sys.argv[1]))
