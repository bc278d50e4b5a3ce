"""A chat client for the terminal: what docs/protocol.md, section 5, asks of a client, in small.

.venv/bin/python examples/tour.py ann ben      TOUR_URL and TOUR_PASSWORD name another server and password.
Type a line to send it; Ctrl-C ends. A line without an ack is sent again under the same client_message_id.
"""
# ruff: noqa: S310, T201 - an example: it prints, and opens the address that it is given

import asyncio
import contextlib
import json
import os
import random
import sys
import threading
import urllib.parse
import urllib.request
import uuid

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

URL = os.environ.get("TOUR_URL", "http://127.0.0.1:8000") + "/api/v1"
PASSWORD = os.environ.get("TOUR_PASSWORD", "correct horse battery")


def call(path, body=None, token=""):
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    request = urllib.request.Request(URL + path, body and json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


class Tour:
    def __init__(self, me, peer):
        self.me, self.peer, self.socket = me, peer, None
        self.version, self.epoch = 0, None  # what is held of the chat
        self.unsent = {}  # lines without an ack, by client_message_id

    def sign_in(self):
        self.token = call("/users/login", {"username": self.me, "password": PASSWORD})["access_token"]
        found = call(f"/users/search?q={urllib.parse.quote(self.peer)}", token=self.token)["items"]
        peer_ids = [user["id"] for user in found if user["username"] == self.peer]
        if not peer_ids:
            sys.exit(f"There is no user {self.peer}.")
        chat = call("/chats", {"chat_type": "direct", "participant_ids": peer_ids}, self.token)
        self.chat_id = chat["id"]
        return f"{URL.replace('http', 'ws', 1)}/ws?token={self.token}"

    async def run(self):
        while True:
            try:
                async with connect(await asyncio.to_thread(self.sign_in), proxy=None) as self.socket:
                    async for text in self.socket:
                        await self.receive(json.loads(text))
            except (OSError, WebSocketException) as error:  # come back, unless what was asked is wrong (4xx)
                if getattr(error, "code", 500) in {401, 403, 404, 422}:
                    sys.exit(f"{self.me}: {error}")
                print(f"-- {error}", file=sys.stderr)
            await asyncio.sleep(random.uniform(0.5, 2))  # noqa: S311 - not everybody at the same moment

    async def receive(self, frame):
        match frame:
            case {"type": "connected"}:
                await self.resume()
                for key in list(self.unsent):
                    await self.post(key)
            case {"type": "error", "code": "unavailable" | "rate_limited"}:
                await self.socket.close()  # and try again with the same keys
            case {"type": "ack" | "error", "ref": key}:
                self.unsent.pop(key, None)  # it is shown when its push comes, in its place
            case {"chat_id": other} if other != self.chat_id:
                pass
            case {"type": "changes", "from": since} if since <= self.version:
                self.apply(frame["messages"], frame["to"], frame["epoch"])
            case {"type": "resync_required"}:
                page = await asyncio.to_thread(call, f"/messages/chat/{self.chat_id}", token=self.token)
                self.version = 0
                self.apply(page["items"], page["version"], page["epoch"])
            case {"version": version} if version <= self.version + 1:
                self.apply([frame["message"]] if "message" in frame else [], version, self.epoch)
            case {"version": _} | {"type": "changes"}:
                await self.resume()  # something is missing before it; both come as `changes`

    def apply(self, messages, version, epoch):
        """Show what is newer than what is held; the rest has been shown."""
        for message in messages:
            if message["version"] > self.version:
                text = "(deleted)" if message["is_deleted"] else message["content"]
                print(f"{message['seq']:>4} {message['sender_username']}: {text}", flush=True)
        self.version, self.epoch = max(self.version, version), epoch

    async def send(self, kind, ref, **fields):
        await self.socket.send(json.dumps({"type": kind, "ref": ref, **fields}))

    async def resume(self):
        await self.send("resume", "resume", cursors={str(self.chat_id): self.version}, epoch=self.epoch)

    async def post(self, key):
        line = self.unsent[key]
        await self.send("send_message", key, chat_id=self.chat_id, content=line, client_message_id=key)

    async def say(self, line):
        key = str(uuid.uuid4())
        self.unsent[key] = line
        await self.post(key)  # without a connection that fails, and `receive` does it once there is one


async def main(me, peer):
    tour, loop = Tour(me, peer), asyncio.get_running_loop()

    def listen():
        for line in os.fdopen(0, "rb", buffering=0):
            asyncio.run_coroutine_threadsafe(tour.say(line.decode().strip()), loop)

    threading.Thread(target=listen, daemon=True).start()
    await tour.run()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
