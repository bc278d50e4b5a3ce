"""The servers that the other tests rely on: they answer, and come back from a crash as expected."""

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import pymongo
import pymysql
import pytest
import redis

from tests.servers import MariaDb, MongoDb, Redis, Servers, mysql_connection


def test_mariadb_syncs_every_commit(servers: Servers) -> None:
    with mysql_connection(servers.mysql_url) as cursor:
        cursor.execute("SELECT @@innodb_flush_log_at_trx_commit, @@sync_binlog, @@log_bin")
        assert cursor.fetchone() == (1, 1, 1)


def test_mongodb_is_the_primary_of_a_replica_set(servers: Servers) -> None:
    with pymongo.MongoClient(servers.mongodb_url) as client:
        hello = client.admin.command("hello")
    assert hello["isWritablePrimary"]
    assert hello["setName"] == "rs0"


def test_redis_is_empty_for_every_test(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


test_redis_is_empty_again = test_redis_is_empty_for_every_test


def test_module_has_databases_of_its_own(mysql_database_url: str, mongodb_database_url: str) -> None:
    with mysql_connection(mysql_database_url) as cursor:
        cursor.execute("SHOW TABLES")
        assert cursor.fetchall() == ()
    with pymongo.MongoClient(mongodb_database_url) as client:
        assert client.get_default_database().list_collection_names() == []


def test_killed_mariadb_comes_back_with_its_data() -> None:
    with MariaDb() as server:
        with mysql_connection(server.url) as cursor:
            cursor.execute("CREATE DATABASE kept")
        server.kill()
        with pytest.raises(pymysql.OperationalError), mysql_connection(server.url):
            pass
        server.start()
        with mysql_connection(server.url) as cursor:
            cursor.execute("SHOW DATABASES LIKE 'kept'")
            assert cursor.fetchone() == ("kept",)


def test_killed_mongodb_comes_back_with_its_data() -> None:
    with MongoDb() as server, pymongo.MongoClient(f"{server.url}&w=majority&journal=true") as client:
        client.chat.kept.insert_one({"_id": 1})
        server.kill()
        server.start()
        assert client.chat.kept.find_one() == {"_id": 1}


def test_killed_redis_comes_back_empty() -> None:
    with Redis() as server, redis.Redis.from_url(server.url) as client:
        client.set("lost", 1)
        server.kill()
        server.start()
        assert client.dbsize() == 0


@pytest.mark.parametrize("kind", [MariaDb, MongoDb, Redis])
def test_stopped_server_starts_again_at_the_same_place(kind: type[MariaDb | MongoDb | Redis]) -> None:
    with kind() as server:
        url = server.url
        server.stop()
        server.start()
        assert server.url == url


def test_frozen_server_is_silent_until_thawed() -> None:
    with Redis() as server, redis.Redis.from_url(server.url, socket_timeout=0.2, retry=None) as client:
        server.freeze()
        with pytest.raises(redis.TimeoutError):
            client.ping()
        server.thaw()
        assert client.ping()


def test_frozen_server_can_be_stopped() -> None:
    with Redis() as server:
        server.freeze()
        server.stop()
        assert not server.is_running


def ping_until_it_fails(client: redis.Redis) -> None:
    for _ in range(1000):  # the kernel may need a moment to end a server
        client.ping()


def test_server_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    code = "import pathlib, sys, time; from tests.servers import Redis; r = Redis(pathlib.Path(sys.argv[1]));"
    code += "r.start(); print(r.url, flush=True); time.sleep(60)"
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        parent.send_signal(signal.SIGKILL)
    with redis.Redis.from_url(url, retry=None) as client, pytest.raises(redis.ConnectionError):
        ping_until_it_fails(client)


def test_services_prints_urls_and_stops_on_interrupt() -> None:
    command = [sys.executable, "-m", "tests.servers"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert [line.partition("=")[0] for line in lines] == [
        "export TEST_MYSQL_URL",
        "export TEST_MONGODB_URL",
        "export TEST_REDIS_URL",
    ]
    url = lines[2].partition("=")[2].strip().strip("'")
    with contextlib.closing(redis.Redis.from_url(url)) as client, pytest.raises(redis.ConnectionError):
        client.ping()
