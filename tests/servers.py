"""The servers some tests need: from the environment, else on the standard local port, else a private one."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import redis

from tests.waiting import GENEROUS

__all__ = ["NoServer", "PrivateRedis", "postgres_database", "postgres_server", "private_redis", "redis_database"]


class NoServer(Exception):
    """The server cannot be had here; the message says what was tried."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _running(command: list[str], ready, **options) -> Iterator[None]:
    """Run a server until the block ends; `ready` is asked until it says True."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options) as process:
        try:
            deadline = time.monotonic() + GENEROUS
            while not ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise NoServer(f"{command[0]} did not start")
                time.sleep(0.1)
            yield
        finally:
            process.terminate()


def _postgres_answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=3):
            return True
    except psycopg.OperationalError:
        return False


@contextmanager
def _private_postgres() -> Iterator[str]:
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    initdb = shutil.which("initdb") or next((f"{folder}/initdb" for folder in binaries), "")
    if not initdb:
        raise NoServer("PostgreSQL: no DATABASE_URL, nothing answers on 127.0.0.1:5432 and no initdb is installed")
    with tempfile.TemporaryDirectory(prefix="ml-postgres-") as folder, ExitStack() as stack:
        options: dict[str, object] = {"cwd": folder}
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root.
            account = pwd.getpwnam("nobody")
            with suppress(KeyError):
                account = pwd.getpwnam("postgres")
            os.chown(folder, account.pw_uid, account.pw_gid)
            options |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        data, port = f"{folder}/data", _free_port()
        done = subprocess.run(
            [initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"],
            capture_output=True,
            text=True,
            check=False,
            **options,
        )
        if done.returncode:
            raise NoServer(f"PostgreSQL: initdb failed: {done.stderr.strip()}")
        command = [str(Path(initdb).with_name("postgres")), "-D", data, "-p", str(port), "-k", folder, "-F"]
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        stack.enter_context(_running(command, lambda: _postgres_answers(url), **options))
        yield url


@contextmanager
def postgres_server() -> Iterator[str]:
    """URL of a PostgreSQL whose user may create databases; raises `NoServer`."""
    given = os.environ.get("DATABASE_URL", "")
    if given.startswith("postgres"):
        yield given
        return
    user = os.environ.get("PGUSER", "postgres")
    local = f"postgresql://{user}@127.0.0.1:5432/postgres"
    if _postgres_answers(local):
        yield local
        return
    with _private_postgres() as url:
        yield url


@contextmanager
def postgres_database() -> Iterator[str]:
    """URL of an empty database of its own, dropped at the end; raises `NoServer`."""
    with postgres_server() as server:
        name = f"ml_{os.getpid()}_{time.monotonic_ns() % 1_000_000}"
        try:
            with psycopg.connect(server, autocommit=True) as connection:
                connection.execute(f'CREATE DATABASE "{name}"')
        except psycopg.OperationalError as error:
            raise NoServer(f"PostgreSQL: {error}") from error
        try:
            yield urlsplit(server)._replace(path=f"/{name}").geturl()
        finally:
            with psycopg.connect(server, autocommit=True) as connection:
                connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _redis_answers(url: str) -> bool:
    with redis.Redis.from_url(url, socket_connect_timeout=2) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


class PrivateRedis:
    """A Redis server of a test's own, which may be killed and started again on its data."""

    def __init__(self, folder: Path, *options: str) -> None:
        binary = shutil.which("redis-server")
        if not binary:
            raise NoServer("Redis: no redis-server is installed")
        port = _free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        self._command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
        self._command += options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it; returns when it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + GENEROUS
        while not _redis_answers(self.url):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise NoServer("Redis: redis-server did not start")
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """SIGTERM, as a service manager stops it; returns when it has ended."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait()

    def empty(self) -> None:
        """Forget all it holds."""
        with redis.Redis.from_url(self.url) as client:
            client.flushall()


@contextmanager
def private_redis(folder: Path, *options: str) -> Iterator[PrivateRedis]:
    """A running Redis with its data in `folder` and command-line options such as `--appendonly yes`."""
    server = PrivateRedis(folder, *options)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def redis_database() -> Iterator[str]:
    """URL of a numbered database of a Redis, empty but for `ml-tests` and emptied at the end; raises `NoServer`."""
    with ExitStack() as stack:
        server = os.environ.get("REDIS_URL") or "redis://127.0.0.1:6379"
        if not _redis_answers(server):
            binary = shutil.which("redis-server")
            if os.environ.get("REDIS_URL") or not binary:
                raise NoServer(f"Redis: nothing answers at {server} and no redis-server is installed")
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ml-redis-"))
            server = f"redis://127.0.0.1:{(port := _free_port())}"
            command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
            stack.enter_context(_running(command, lambda: _redis_answers(server)))
        for number in range(15, 0, -1):
            url = urlsplit(server)._replace(path=f"/{number}").geturl()
            client = stack.enter_context(redis.Redis.from_url(url))
            # Two test processes may look at the same moment: the claim is atomic, and it must be the only key.
            if client.set("ml-tests", os.getpid(), nx=True, ex=3600):
                if client.dbsize() == 1:
                    stack.callback(client.flushdb)
                    yield url
                    return
                client.delete("ml-tests")
        raise NoServer(f"Redis: every numbered database of {server} is in use")
