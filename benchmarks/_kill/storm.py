"""The storm: starts the processes of a plan, kills one after the other, counts afterwards."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from benchmarks._kill.count import acknowledged, count
from benchmarks._kill.parts import PRODUCERS, Plan, commit, committer, produce
from benchmarks._kill.web import CLIENTS, Web, post, serve
from benchmarks.harness import START_S, ProofError

if TYPE_CHECKING:
    from tests.servers import PrivateRedis

__all__ = ["COMMITTERS", "Crowd", "context", "outages", "storm"]

COMMITTERS = 2
DECK = {"producer": 4, "committer": 4, "web": 2, "redis": 1}
"""How often each is killed, of so many kills."""


def context() -> Any:
    """How processes are made."""
    # Children come from a server that has the modules imported but has run nothing: cheap, and no thread is forked.
    found = multiprocessing.get_context("forkserver")
    modules = ["adapters.event_store", "adapters.spool_fallback", "data_collection.process"]
    found.set_forkserver_preload(["redis", *(f"ml_models.{name}" for name in modules)])
    return found


class Crowd:
    """The running processes of a plan; whoever dies by itself is counted as a crash."""

    def __init__(self, plan: Plan, seed: int, web: Web | None) -> None:
        self._plan, self._seed, self._web = plan, seed, web
        self._context = context()
        self._started = self.crashes = 0
        for name in ("journal", "refused"):
            (plan.folder / name).mkdir(exist_ok=True)
        self._places = [("producer", self._start("producer")) for _ in range(PRODUCERS)]
        self._places += [("committer", self._start("committer")) for _ in range(COMMITTERS)]
        self._clients = [self._client(number) for number in range(CLIENTS)] if web else []
        self._await_load()

    def _await_load(self) -> None:
        """Return when every producer and client has had something accepted."""
        deadline = time.monotonic() + START_S
        journals = self._plan.folder / "journal"
        while sum(path.stat().st_size > 0 for path in journals.iterdir()) < PRODUCERS + len(self._clients):
            if time.monotonic() > deadline:
                raise ProofError("The producers did not start.")
            time.sleep(0.05)

    def _start(self, role: str) -> BaseProcess:
        self._started += 1
        seed = self._seed + self._started
        if role == "producer":
            process = self._context.Process(
                target=produce, args=(self._plan, f"p{self._started:05d}", seed), daemon=True
            )
        else:
            process = self._context.Process(target=commit, args=(self._plan, seed), daemon=True)
        process.start()
        return process

    def _client(self, number: int) -> BaseProcess:
        assert self._web is not None
        process = self._context.Process(target=post, args=(self._plan, f"w{number}", self._web.port), daemon=True)
        process.start()
        return process

    def kill(self, role: str, rng: random.Random) -> bool:
        """Kill one of a role with SIGKILL and start another in its place; False where there was none to kill."""
        if role == "web":
            victim = self._web.victim(rng) if self._web else None
            if victim is not None:
                victim.kill()
            return victim is not None
        place = rng.choice([number for number, (name, _) in enumerate(self._places) if name == role])
        process = self._places[place][1]
        alive = process.is_alive()
        if alive:
            process.kill()
        else:
            self.crashes += 1  # by itself: no kill, and a failure of the proof
        process.join()
        self._places[place] = (role, self._start(role))
        return alive

    def end(self) -> None:
        """Let all end by themselves, those that do not by force; crashes are counted."""
        (self._plan.folder / "stop").touch()
        for process in [process for _, process in self._places] + self._clients:
            process.join(40)
            if process.is_alive():
                process.kill()
            self.crashes += process.exitcode not in (0, None)
            process.join()


def _deal(rng: random.Random, roles: set[str]) -> Iterator[str]:
    while True:
        deck = [role for role, often in DECK.items() if role in roles for _ in range(often)]
        rng.shuffle(deck)
        yield from deck


def storm(
    plan: Plan,
    total: int,
    pause: float,
    *,
    seed: int,
    accepted: int = 0,
    server: PrivateRedis | None = None,
    web: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, int]:
    """Kill `total` processes, one every `pause` seconds on average, and go on until `accepted` events were accepted.

    Returns the counts. `server`: the Redis of the plan, killed as well. `web`: with granian's workers and clients.
    """
    rng = random.Random(seed)
    roles = {"producer", "committer"} | ({"web"} if web else set()) | ({"redis"} if server else set())
    kills: Counter[str] = Counter()
    seen = 0
    with ExitStack() as stack:
        crowd = Crowd(plan, seed, stack.enter_context(serve(plan)) if web else None)
        try:
            for role in _deal(rng, roles):
                if kills.total() >= total and (seen := acknowledged(plan)) >= accepted:
                    break
                time.sleep(rng.uniform(0, 2 * pause))
                if role == "redis":
                    assert server is not None
                    server.kill()
                    time.sleep(rng.uniform(0, 4 * pause))
                    server.start()
                    kills[role] += 1
                else:
                    kills[role] += crowd.kill(role, rng)
                if kills.total() % 20 == 0:
                    progress(f"{kills.total()} of {total} kills, {seen:,} of {accepted:,} events")
        finally:
            crowd.end()
    progress("last commits, then counting")
    return {
        **_settle(plan),
        "kills": kills.total(),
        **{f"kills_of_{role}": kills[role] for role in DECK if role in roles},
        "crashes": crowd.crashes,
    }


def _settle(plan: Plan) -> dict[str, int]:
    """Commit what waits, and count."""
    worker, store = committer(plan)
    while worker.run().read:
        pass
    return count(plan, store)


def outages(
    plan: Plan,
    server: PrivateRedis,
    seconds: float,
    *,
    seed: int,
    least: int = 0,
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Redis is stopped under load and comes back, then hangs and goes on; nobody is killed. Returns the counts.

    Each takes `seconds`, and on a busy machine longer, until `least` events wait in files.

    `in_files`: events that waited in files at the end of each outage, the least; `drained_s`: seconds after it until,
    with the load going on, none did, the most.
    """
    from ml_models.adapters.spool_file import FileSpool

    files = FileSpool(plan.folder / "spool")
    in_files, drained = [], []
    with ExitStack() as stack:
        crowd = Crowd(plan, seed, stack.enter_context(serve(plan)))
        try:
            for hangs in (False, True):
                time.sleep(seconds / 2)
                progress("Redis hangs" if hangs else "Redis is stopped")
                if hangs:
                    os.kill(server.pid, signal.SIGSTOP)
                else:
                    server.stop()
                began = time.monotonic()
                time.sleep(seconds)
                while (waiting := int(files.stats()["records"])) < least and time.monotonic() - began < seconds + 30:
                    time.sleep(0.1)
                in_files.append(waiting)
                if hangs:
                    os.kill(server.pid, signal.SIGCONT)
                else:
                    server.start()
                back = time.monotonic()
                while files.stats()["records"] and time.monotonic() - back < 120:
                    time.sleep(0.1)
                drained.append(time.monotonic() - back)
        finally:
            crowd.end()
    return {
        **_settle(plan),
        "crashes": crowd.crashes,
        "in_files": min(in_files),
        "drained_s": max(drained),
    }
