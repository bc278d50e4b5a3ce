"""What the settings refuse, and what production refuses besides."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from chat_service.settings import Settings

SECRET = "0123456789abcdef0123456789abcdef"


def read(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)


def test_nothing_needs_to_be_set_outside_of_production() -> None:
    assert read().password_memory_mib == 64
    assert read(environment="staging", password_memory_mib=1).is_embedded


def test_production_needs_a_secret_alone() -> None:
    assert read(environment="production", secret_key=SECRET).password_memory_mib >= 19


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"secret_key": ""}, "CHAT_SECRET_KEY must be set in production"),
        ({"allowed_origins": "https://a.example, *"}, "CHAT_ALLOWED_ORIGINS must name its origins"),
        ({"password_memory_mib": 18}, "CHAT_PASSWORD_MEMORY_MIB must be 19 or more in production"),
    ],
)
def test_production_refuses_what_is_unsafe(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        read(**{"environment": "production", "secret_key": SECRET, **values})
    read(**{"secret_key": SECRET, **values})


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"secret_key": "short"}, "32 bytes or more"),
        ({"secret_key": "a" * 40}, "placeholder"),
        ({"allowed_origins": "chat.example.org"}, "is not an origin"),
        ({"trusted_proxies": "10.0.0.0/99"}, "10.0.0.0/99"),
        ({"database_url": "postgresql://localhost/chat"}, "CHAT_DATABASE_URL begins with"),
        ({"content_url": "redis://localhost"}, "CHAT_CONTENT_URL begins with"),
        ({"redis_url": "localhost:6379"}, "CHAT_REDIS_URL begins with"),
        ({"database_url": "mysql+asyncmy://chat:pw@host:port/chat"}, "CHAT_DATABASE_URL is not an address"),
        ({"database_url": "mysql+asyncmy://chat:pw@host"}, "CHAT_DATABASE_URL is not an address"),
        ({"content_url": "mongodb://host:port/chat"}, "CHAT_CONTENT_URL is not an address"),
        ({"content_url": "mongodb://chat:p@w@host/chat"}, "@ as %40"),
        ({"password_memory_mib": 0}, "greater than or equal to 1"),
        ({"port": 70_000}, "less than or equal to 65535"),
    ],
)
def test_what_makes_no_sense_is_refused_everywhere(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        read(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"database_url": "mysql+asyncmy://chat:hunter2@host:port/chat"},
        {"content_url": "mongodb://chat:hunter/2@host/chat"},
    ],
)
def test_a_password_that_makes_an_address_unreadable_is_not_repeated(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        read(**values)
    assert "hunter" not in caught.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    "values",
    [
        {"database_url": "mysql+asyncmy://chat:hunter%2F2@[::1]:3306/chat"},
        {"database_url": "mysql+asyncmy://chat@/chat?unix_socket=/run/mysqld/mysqld.sock"},
        {"database_url": "mysql+asyncmy://chat@host/chat?ssl_ca=/etc/ssl/certs/ca-certificates.crt"},
        {"content_url": "mongodb://chat:hunter%2F2@one:27017,two:27017/chat?replicaSet=rs0&tls=true"},
        {"content_url": "mongodb+srv://chat@cluster.example.org/chat"},
    ],
)
def test_addresses_of_servers_are_taken(values: dict[str, Any]) -> None:
    assert read(**values)


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    key = read(data_dir=folder).load_secret_key()
    assert len(key) == 64
    assert read(data_dir=folder).load_secret_key() == key
    assert [path.name for path in folder.iterdir()] == ["secret.key"]
    assert stat.S_IMODE((folder / "secret.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("kept", ["", "\n", "too short"])
def test_a_file_without_a_key_is_refused(tmp_path: Path, kept: str) -> None:
    (tmp_path / "secret.key").write_text(kept)
    with pytest.raises(ValueError, match=r"secret\.key holds no key"):
        read(data_dir=tmp_path).load_secret_key()
