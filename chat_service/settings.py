"""Every setting of the service, read once from the environment (or an env file) and then passed on."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
import warnings
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MIN_SECRET_BYTES = 32
MIN_PASSWORD_MEMORY_MIB = 19
"""The least that OWASP's Password Storage Cheat Sheet recommends for Argon2id, there with two passes."""
_METADATA_EXAMPLE = "mysql+asyncmy://user:password@host:3306/chat"
_BODY_EXAMPLE = "mongodb://user:password@host:27017/chat?replicaSet=rs0"
_ESCAPES = "in a password write / as %2F, : as %3A, @ as %40, ? as %3F, # as %23 and % as %25"
_KNOWN_SECRETS = ("change-me", "changeme", "secret", "example", "please-set", "your-secret", "development")


class Environment(StrEnum):
    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"


class Registration(StrEnum):
    OPEN = "open"
    CLOSED = "closed"


class Settings(BaseSettings):
    """See `config/example.env` for the reason behind each default."""

    model_config = SettingsConfigDict(env_prefix="CHAT_", env_file=".env", extra="ignore", frozen=True)

    environment: Environment = Environment.DEVELOPMENT
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"
    auto_migrate: bool = False
    data_dir: Path = Path("data")
    database_url: SecretStr = SecretStr("")
    content_url: SecretStr = SecretStr("")
    redis_url: SecretStr = SecretStr("")
    secret_key: SecretStr = SecretStr("")
    access_token_minutes: int = Field(default=15, ge=1, le=24 * 60)
    refresh_token_days: int = Field(default=30, ge=1, le=366)
    registration: Registration = Registration.OPEN
    password_memory_mib: int = Field(default=64, ge=1, le=1024)
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    drain_seconds: float = Field(default=2.0, ge=0, le=7)
    rate_limits_enabled: bool = True
    max_message_chars: int = Field(default=10_000, ge=1, le=20_000)
    max_participants: int = Field(default=5_000, ge=2, le=100_000)

    @field_validator("allowed_origins", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _check_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin != "*" and (not origin.startswith(("http://", "https://")) or origin.count("/") != 2):
                raise ValueError(f"{origin!r} is not an origin such as https://chat.example.org")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            ip_network(address, strict=False)
        return value

    @field_validator("environment", "registration", "log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_urls(self) -> Self:
        if not self.metadata_url.startswith(("sqlite+aiosqlite:///", "mysql+asyncmy://")):
            raise ValueError("CHAT_DATABASE_URL begins with sqlite+aiosqlite:/// or mysql+asyncmy://")
        if not self.body_url.startswith(("sqlite:///", "mongodb://", "mongodb+srv://")):
            raise ValueError("CHAT_CONTENT_URL begins with sqlite:/// or mongodb://")
        if not _is_metadata_address(self.metadata_url):
            raise ValueError(f"CHAT_DATABASE_URL is not an address such as {_METADATA_EXAMPLE}; {_ESCAPES}")
        if not _is_body_address(self.body_url):
            raise ValueError(f"CHAT_CONTENT_URL is not an address such as {_BODY_EXAMPLE}; {_ESCAPES}")
        redis = self.redis_url.get_secret_value()
        if redis and not redis.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("CHAT_REDIS_URL begins with redis:// or rediss://")
        if redis and not _is_address(redis):
            raise ValueError("CHAT_REDIS_URL is not an address such as redis://host:6379/0")
        return self

    @model_validator(mode="after")
    def _check_production(self) -> Self:
        if self.environment is not Environment.PRODUCTION:
            return self
        if not self.secret_key.get_secret_value():
            raise ValueError("CHAT_SECRET_KEY must be set in production (32 bytes or more)")
        if "*" in self.allowed_origins:
            raise ValueError("CHAT_ALLOWED_ORIGINS must name its origins in production, not *")
        if self.password_memory_mib < MIN_PASSWORD_MEMORY_MIB:
            raise ValueError(
                f"CHAT_PASSWORD_MEMORY_MIB must be {MIN_PASSWORD_MEMORY_MIB} or more in production"
            )
        return self

    @field_validator("secret_key")
    @classmethod
    def _check_secret(cls, value: SecretStr) -> SecretStr:
        secret = value.get_secret_value()
        if secret and len(secret.encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"CHAT_SECRET_KEY must have {MIN_SECRET_BYTES} bytes or more")
        if secret and (secret.lower().startswith(_KNOWN_SECRETS) or len(set(secret)) < 8):
            raise ValueError("CHAT_SECRET_KEY is a placeholder; take `openssl rand -hex 32`")
        return value

    @property
    def metadata_url(self) -> str:
        given = self.database_url.get_secret_value()
        return given or f"sqlite+aiosqlite:///{self.data_dir.absolute() / 'metadata.db'}"

    @property
    def body_url(self) -> str:
        return self.content_url.get_secret_value() or f"sqlite:///{self.data_dir.absolute() / 'content.db'}"

    @property
    def is_embedded(self) -> bool:
        """Whether the metadata store is a file of this machine."""
        return self.metadata_url.startswith("sqlite")

    def load_secret_key(self) -> bytes:
        """The key of all tokens. In development it is made once and kept below the data directory.

        Raises `ValueError` where that file does not hold one."""
        given = self.secret_key.get_secret_value()
        if given:
            return given.encode()
        path = self.data_dir / "secret.key"
        self.data_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make_secret_key(path)
        key = path.read_text().strip().encode()
        if len(key) < MIN_SECRET_BYTES:
            raise ValueError(f"{path} holds no key; remove it, and everybody has to sign in again")
        return key


def _make_secret_key(path: Path) -> None:
    """It has its name once it is whole and on the disk; where another process is faster, its key is taken."""
    descriptor, draft = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # for its owner alone
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        Path(draft).unlink()


def _is_metadata_address(url: str) -> bool:
    from sqlalchemy.engine import make_url  # noqa: PLC0415 - `--help` is quick
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415 - as above

    if url.startswith("sqlite"):
        return True
    try:
        parts = make_url(url)
    except (ValueError, ArgumentError):  # the port is no number
        return False
    host = parts.host or parts.query.get("unix_socket")
    return bool(host and parts.database and "@" not in host)


def _is_body_address(url: str) -> bool:
    if not url.startswith("mongodb://"):  # of mongodb+srv:// only a name server knows the rest
        return True
    from pymongo.errors import PyMongoError  # noqa: PLC0415 - only who needs it waits
    from pymongo.uri_parser import parse_uri  # noqa: PLC0415 - as above

    try:
        with warnings.catch_warnings(
            action="ignore"
        ):  # of options that it does not know the client itself warns
            parse_uri(url, warn=True)
    except (ValueError, PyMongoError):  # what they say may quote a part of the password
        return False
    return True


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        database = parts.path.strip("/")
        is_numbered = not database or database.isdigit()
        return parts.scheme == "unix" or bool(parts.hostname and parts.port != 0 and is_numbered)
    except ValueError:  # the port is no number
        return False
