"""The AsyncAPI document: complete, consistent in itself, and its examples are true."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import orjson
import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator

from chat_service.routes.asyncapi import EXAMPLES, build_document, router
from chat_service.routes.frames import COMMANDS, PUSHES, REPLIES, parse_command, types_of
from chat_service.routes.schemas import Strict

FRAMES = (*COMMANDS, *REPLIES, *PUSHES)
DOCUMENT = build_document()


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolve(reference: str) -> Any:
    node: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def test_every_reference_leads_somewhere() -> None:
    found = set(references(DOCUMENT))
    assert found
    for reference in found:
        assert reference.startswith("#/")
        assert isinstance(resolve(reference), dict)


def test_the_document_has_the_structure_of_asyncapi_3() -> None:
    assert set(DOCUMENT) <= {
        "asyncapi", "id", "info", "servers", "defaultContentType", "channels", "operations", "components",
    }  # fmt: skip
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(DOCUMENT["info"])
    for channel in DOCUMENT["channels"].values():
        assert set(channel) <= {"address", "description", "messages", "parameters", "bindings"}
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in {"send", "receive"}
        channel = operation["channel"]["$ref"]
        # The specification wants messages of the channel here, not of the components.
        assert all(ref["$ref"].startswith(f"{channel}/messages/") for ref in operation["messages"])
    for server in DOCUMENT["servers"].values():
        assert {"host", "protocol"} <= set(server)
    for name, parameter in DOCUMENT["channels"]["chat"]["parameters"].items():
        assert f"{{{name}}}" in DOCUMENT["channels"]["chat"]["address"]
        # A parameter of version 3 is always text and has no schema.
        assert set(parameter) <= {"description", "default", "enum", "examples", "location"}


def test_both_addresses_are_channels() -> None:
    assert {channel["address"] for channel in DOCUMENT["channels"].values()} == {
        "/api/v1/ws",
        "/api/v1/ws/{chat_id}",
    }


@pytest.mark.parametrize("model", FRAMES, ids=lambda model: model.__name__)
def test_every_frame_has_a_schema_and_an_example_that_fits_it(model: type[Strict]) -> None:
    message = DOCUMENT["components"]["messages"][model.__name__]
    (example,) = message["examples"]
    model.model_validate(example["payload"])
    schema = message["payload"] | {"components": DOCUMENT["components"]}
    Draft202012Validator(schema).validate(example["payload"])
    assert next(iter(example["payload"])) == "type"
    assert example["payload"]["type"] in types_of(model)


@pytest.mark.parametrize("model", COMMANDS, ids=lambda model: model.__name__)
def test_examples_of_commands_parse(model: type[Strict]) -> None:
    assert isinstance(parse_command(orjson.dumps(EXAMPLES[model])), model)


def test_all_schemas_are_json_schemas() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


async def test_the_document_is_served() -> None:
    app = FastAPI()
    app.include_router(router)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        answer = await client.get("/asyncapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == DOCUMENT
