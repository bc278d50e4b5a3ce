"""The frames that are built once for all sockets, and the file of uvicorn that the fast path leans on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from uvicorn.protocols.websockets import websockets_sansio_impl
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from chat_service.services.ports.socket import Batch

PROTOCOL_SHA256 = "8b32a97a1608788bba525c8b1e0d3eb0a93cd09d0f4f41b9b83cebd527336c49"


def parse(wire: bytes) -> list[Frame]:
    """The frames that a client of the library `websockets` reads."""
    client = ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN, max_size=None)
    client.receive_data(wire)
    assert client.parser_exc is None
    return [event for event in client.events_received() if isinstance(event, Frame)]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 262144])
def test_a_frame_of_any_size_is_read_as_it_was_written(size: int) -> None:
    text = b"x" * size
    (frame,) = parse(Batch([text]).wire)
    assert (frame.opcode, frame.fin, bytes(frame.data)) == (Opcode.TEXT, True, text)
    assert (frame.rsv1, frame.rsv2, frame.rsv3) == (False, False, False)


def test_frames_of_a_batch_are_read_one_by_one_in_their_order() -> None:
    texts = [bytes([97 + number % 26]) * size for number, size in enumerate((0, 125, 126, 65535, 65536, 7))]
    assert [bytes(frame.data) for frame in parse(Batch(texts).wire)] == texts
    assert Batch([]).wire == b""


def test_a_batch_is_encoded_once() -> None:
    batch = Batch([b"{}"])
    assert batch.wire is batch.wire
    assert batch.texts == (b"{}",)


def test_uvicorns_protocol_file_is_the_one_that_the_fast_path_was_written_against() -> None:
    found = hashlib.sha256(Path(websockets_sansio_impl.__file__).read_bytes()).hexdigest()
    assert found == PROTOCOL_SHA256, (
        "uvicorn's websockets_sansio_impl.py has changed: check in chat_service/adapters/sockets.py that "
        "`run_asgi`, `handle_close`, `handle_parser_exception` and `keepalive_timeout` are still called and "
        "that the attributes it reads and sets still mean the same, run "
        f"tests/integration/test_slow_readers.py, and then put {found} here."
    )
