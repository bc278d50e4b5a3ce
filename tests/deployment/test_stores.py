"""The configuration files of the stores are taken by servers of the kind, and make them as safe as they must
be. MariaDB stands for MySQL 8.4 here, and MongoDB 6.0 for 8.0; config/mongodb/initialise.js needs mongosh and
is not run."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pymongo
import pytest
import redis
import yaml

from chat_service.adapters.sql.migrate import upgrade
from chat_service.adapters.sql.store import SqlMetadataStore
from chat_service.domain.errors import Unavailable
from tests.certificate import make_certificate
from tests.deployment.files import CONFIG, read_compose, some_secrets
from tests.servers import MariaDb, MongoDb, free_port, mysql_connection

PASSWORD = some_secrets()["REDIS_PASSWORD"]


class ConfiguredMariaDb(MariaDb):
    """By config/mysql/chat.cnf, but for what belongs to a container's file system."""

    options: ClassVar[Path] = CONFIG / "mysql" / "chat.cnf"

    def _flags(self, address: str, data: str) -> list[str]:
        own = [f"--datadir={data}", f"--socket={self.root}/socket", f"--pid-file={self.root}/pid"]
        size = "--innodb-buffer-pool-size=64M"
        return [
            f"--defaults-file={self.options}",
            *own,
            f"--port={self.port}",
            f"--bind-address={address}",
            size,
        ]


async def test_mysql_is_as_durable_as_production_demands() -> None:
    with ConfiguredMariaDb() as server:
        store = SqlMetadataStore(server.url)
        assert await store.check_safety() == []
        await store.close()
        with mysql_connection(server.url) as cursor:
            cursor.execute(
                "SELECT @@log_bin, @@binlog_format, @@max_connections, @@binlog_expire_logs_seconds"
            )
            assert cursor.fetchone() == (1, "ROW", 300, 604800)


class EncryptedMariaDb(ConfiguredMariaDb):
    """With a certificate for 127.0.0.1, which it signed itself."""

    def _prepare(self) -> None:
        super()._prepare()
        self.certificate = make_certificate(self.root)

    def _flags(self, address: str, data: str) -> list[str]:
        certificate = [f"--ssl-cert={self.certificate}", f"--ssl-key={self.certificate}"]
        return [*super()._flags(address, data), *certificate]


async def test_mysql_is_reached_over_tls_by_what_the_example_adds_to_its_address(tmp_path: Path) -> None:
    example = yaml.safe_load((CONFIG / "kubernetes" / "secret.example.yaml").read_text())["stringData"]
    assert example["CHAT_DATABASE_URL"].endswith("/chat?ssl_ca=/etc/ssl/certs/ca-certificates.crt")
    with EncryptedMariaDb() as server:
        with mysql_connection(server.url) as cursor:
            cursor.execute("CREATE DATABASE chat")
            cursor.execute("SET GLOBAL require_secure_transport = ON")
        url = f"{server.url}chat?ssl_ca={server.certificate}"
        upgrade(url)
        store = SqlMetadataStore(url)
        assert await store.has_current_schema()
        await store.close()
        stranger = SqlMetadataStore(f"{server.url}chat?ssl_ca={make_certificate(tmp_path)}")
        with pytest.raises(Unavailable):
            await stranger.ping()
        await stranger.close()


# --- MongoDB ------------------------------------------------------------------------------------------


class ConfiguredMongoDb(MongoDb):
    """By config/mongodb/mongod.conf, with the paths and addresses of this machine. Its key file is made as
    config/mongodb/start.sh does."""

    def _flags(self, address: str, data: str) -> list[str]:
        written = yaml.safe_load((CONFIG / "mongodb" / "mongod.conf").read_text())
        assert written["net"].pop("bindIpAll")
        written["storage"]["dbPath"] = data
        written["storage"]["wiredTiger"]["engineConfig"]["cacheSizeGB"] = 0.25
        written["replication"]["oplogSizeMB"] = 64
        written["net"] |= {"bindIp": address, "port": self.port, "unixDomainSocket": {"enabled": False}}
        key = self.root / "key"
        key.write_text(some_secrets()["MONGODB_KEY"].replace("_", "0"))
        key.chmod(0o600)
        written["security"]["keyFile"] = str(key)
        config = self.root / "mongod.conf"
        config.write_text(yaml.safe_dump(written))
        return [f"--config={config}"]


def test_mongodb_is_a_replica_set_that_lets_nobody_in_without_a_password() -> None:
    with ConfiguredMongoDb() as server:
        address = f"mongodb://127.0.0.1:{server.port}/?directConnection=true"
        client: pymongo.MongoClient[dict[str, object]]
        with pymongo.MongoClient(address) as client:
            assert client.admin.command("hello")["setName"] == "rs0"
            with pytest.raises(pymongo.errors.OperationFailure) as refusal:
                client.chat.bodies.insert_one({})
    assert refusal.value.details is not None
    assert refusal.value.details["codeName"] == "Unauthorized"


# --- Redis --------------------------------------------------------------------------------------------


@contextlib.contextmanager
def redis_of_compose(folder: Path) -> Iterator[int]:
    """Run the very command of docker-compose.yml, with its paths below `folder`; yields the port."""
    port = free_port()
    shell, flag, command = read_compose(some_secrets())["services"]["redis"]["command"]
    command = command.replace("/etc/chat/redis.conf", str(CONFIG / "redis" / "redis.conf"))
    command = command.replace("/tmp/redis.conf", f"{folder}/redis.conf")
    command += f" --port {port} --bind 127.0.0.1 --dir {folder}"
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig=KILL", shell, flag, command],
        env=os.environ | {"REDIS_PASSWORD": PASSWORD},
        stdout=subprocess.DEVNULL,
    )
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def test_redis_keeps_nothing_and_asks_for_its_password(tmp_path: Path) -> None:
    with redis_of_compose(tmp_path) as port, redis.Redis(port=port, password=PASSWORD) as client:
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(redis.ConnectionError):
                assert client.ping()
                break
            assert time.monotonic() < deadline
            time.sleep(0.02)
        found = client.config_get("save", "appendonly", "maxmemory-policy", "client-output-buffer-limit")
        assert (found["save"], found["appendonly"]) == ("", "no")
        assert found["maxmemory-policy"] == "noeviction"
        assert f"pubsub {64 << 20} {16 << 20} 30" in found["client-output-buffer-limit"]
        with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        assert (tmp_path / "redis.conf").stat().st_mode & 0o777 == 0o600
