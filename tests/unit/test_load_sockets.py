"""The load generator's WebSocket client: splitting what comes in, wherever the reads cut it."""

from __future__ import annotations

import base64
import hashlib

import pytest

from chat_service.load.report import Latencies
from chat_service.load.sockets import SocketClient

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    abort = close


class Listener:
    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.chunks: list[bytes | None] = []
        self.is_open = False
        self.end: tuple[int, str] | None = None

    def opened(self) -> None:
        self.is_open = True

    def knows(self, chunk: bytes) -> bool:
        return False

    def heard(self, texts: list[bytes], chunk: bytes | None) -> None:
        self.texts += texts
        self.chunks.append(chunk)

    def ended(self, code: int, reason: str) -> None:
        self.end = (code, reason)


def connect() -> tuple[SocketClient, Transport, Listener]:
    listener, transport = Listener(), Transport()
    client = SocketClient("http://chat.example:8000", "/ws/7", "token", listener)
    client.connection_made(transport)  # type: ignore[arg-type]
    return client, transport, listener


def answer(transport: Transport) -> bytes:
    key = transport.written.decode().partition("Sec-WebSocket-Key: ")[2].partition("\r\n")[0]
    accept = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
    return f"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode()


def frame(head: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        return bytes((head, length)) + payload
    if length < 65_536:
        return bytes((head, 126)) + length.to_bytes(2, "big") + payload
    return bytes((head, 127)) + length.to_bytes(8, "big") + payload


TEXTS = [b'{"a":1}', b"x" * 125, b"y" * 126, b"z" * 70_000, b"{}"]


@pytest.mark.parametrize("step", [1, 7, 1000, 1_000_000])
def test_frames_are_whole_wherever_the_reads_cut_them(step: int) -> None:
    client, transport, listener = connect()
    stream = answer(transport) + b"".join(frame(0x81, text) for text in TEXTS)
    for start in range(0, len(stream), step):
        client.data_received(stream[start : start + step])
    assert listener.is_open
    assert listener.texts == TEXTS


def test_a_read_of_whole_text_frames_alone_is_told_as_such() -> None:
    client, transport, listener = connect()
    client.data_received(answer(transport))
    read = frame(0x81, b"one") + frame(0x81, b"two")
    client.data_received(read)
    client.data_received(read + b"\x81")
    client.data_received(b"\x03end")
    client.data_received(frame(0x81, b"one") + frame(0x89, b""))
    assert listener.chunks == [read, None, None, None]


def test_pings_are_answered_and_fragments_put_together() -> None:
    client, transport, listener = connect()
    client.data_received(answer(transport))
    transport.written = b""
    client.data_received(frame(0x01, b"one ") + frame(0x89, b"beat") + frame(0x80, b"text"))
    assert listener.texts == [b"one text"]
    assert transport.written == b"\x8a\x84\0\0\0\0beat"


def test_what_is_sent_after_the_end_is_lost() -> None:
    client, transport, _ = connect()
    transport.close()
    before = transport.written
    client.send([b"late"])
    client.close()
    assert transport.written == before


def test_the_servers_goodbye_is_answered_and_told() -> None:
    client, transport, listener = connect()
    client.data_received(answer(transport) + frame(0x88, (1012).to_bytes(2, "big") + b"server_restarting"))
    assert transport.is_closed
    client.connection_lost(None)
    assert listener.end == (1012, "server_restarting")


@pytest.mark.parametrize(
    "refusal", [b"HTTP/1.1 404 Not Found\r\n\r\n", b"nonsense\r\n\r\n", b"HTTP/1.1 101 Yes\r\n\r\n"]
)
def test_another_answer_than_a_handshake_ends_the_socket(refusal: bytes) -> None:
    client, transport, listener = connect()
    client.data_received(refusal)
    assert transport.is_closed
    client.connection_lost(None)
    assert listener.end is not None
    assert listener.end[0] == 1006
    assert "handshake" in listener.end[1]


def test_percentiles_are_those_of_all_durations() -> None:
    durations = Latencies()
    for number in range(1, 101):
        durations.add(number / 1000)
    assert durations.summary() == pytest.approx({"p50": 50, "p90": 90, "p99": 99, "max": 100}, abs=0.05)
    assert Latencies().summary() == {"p50": None, "p90": None, "p99": None, "max": None}
