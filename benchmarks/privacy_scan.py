"""What is personal is put wherever visitors can put it, and then every byte that is kept is searched.

With every privacy setting at its default, over each transport (file spool; Redis Streams with its append-only file and
its dump): visitors with known addresses, mailboxes and browsers open pages, fill in forms, search, send right, wrong
and broken events, place orders as guests and as users; careless views hand to `emit_*` what no view should. Everything
sent carries a mark. The marks are looked for before a worker has run, after it has, and at the end: in spool and
stream, dead letters, lake and its log (Parquet as it lies and decoded), counters, exports, artifacts, the database file
and the log file.

Then persons are forgotten: users with their devices, guests by mail, a visitor by his cookie. The command is killed
again and again before it may end. After that no byte anywhere holds an id of theirs, nobody else has lost an event or a
dead letter, and what a forgotten browser sends late does not come back. As a control the same search finds the ids in
every place before.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._privacy_shop import scan
from benchmarks.harness import ROOT, Context, Report, Skip

TITLE = "No address, e-mail or form value reaches the disk; what ml_forget erases is found nowhere any more"


@dataclass(frozen=True, slots=True)
class Size:
    """How much of it."""

    visitors: int
    """Visitors before the worker runs; half as many again come afterwards."""
    forgotten: int
    kills: int
    """SIGKILLs of `ml_forget` per transport."""
    hostile: int
    """Marked things sent, at least, per transport."""


FULL = Size(visitors=120, forgotten=12, kills=24, hostile=12_000)
QUICK = Size(visitors=6, forgotten=2, kills=2, hostile=600)
_OWN = ("default.sqlite3", "default.sqlite3-journal")
"""The shop's own tables, which hold mailboxes of customers by right."""
_PLACES = {
    "file": ("ml_data/spool/", "ml_data/lake/", "ml_data/dead_letters/", "ml_data/exports/", "ml.sqlite3"),
    "redis": ("redis/", "redis (asked)", "ml_data/lake/", "ml_data/dead_letters/", "ml_data/exports/", "ml.sqlite3"),
}
"""Where the control must find ids."""


class Shop:
    """The shop in a folder, and its processes."""

    def __init__(self, base: Path, redis: str | None) -> None:
        self.folder = base / "shop"
        self.notes = base / "notes"
        self.redis = redis
        for folder in (self.folder / "logs", self.notes):
            folder.mkdir(parents=True)
        paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
        self._environment = {
            **os.environ,
            "PYTHONPATH": paths,
            "DJANGO_SETTINGS_MODULE": "benchmarks._privacy_shop.settings",
            "PRIVACY_SHOP": str(self.folder),
            "PRIVACY_REDIS": redis or "",
        }

    def start(self, module: str, *arguments: str) -> subprocess.Popen[str]:
        """A process of the shop."""
        command = [sys.executable, "-m", module, *arguments]
        return subprocess.Popen(
            command, env=self._environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, module: str, *arguments: str) -> str:
        """Run one to its end; what it printed."""
        process = self.start(f"benchmarks._privacy_shop.{module}", *arguments)
        out, error = process.communicate()
        if process.returncode:
            raise RuntimeError(f"{module} {' '.join(arguments)} failed:\n{error[-3000:]}")
        return out

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Everything that is kept."""
        return scan.contents(self.folder, self.redis, _OWN)


def _names(person: dict[str, Any]) -> list[str]:
    """The ids by which a person could be found in any byte."""
    return [name for name in (person["user"], *person["devices"], person["guest"].removeprefix("guest:")) if name]


def _options(person: dict[str, Any], number: int) -> list[str]:
    """How he is named: a user with his mailbox, or a guest's mailbox with his cookie."""
    who = ["--user", person["user"]] if person["user"] else ["--visitor", person["visitor"]]
    orders = ("key", "delete")[number % 2]
    return ["ml_forget", *who, "--email", person["email"], "--orders", orders, "--yes"]


def _forget(shop: Shop, persons: list[dict[str, Any]], kills: int, rng: random.Random) -> tuple[int, int, float]:
    """Forget them one after the other under kills; returns kills, receipts that are not complete, seconds of one."""
    killed = incomplete = 0
    seconds = []
    for number, person in enumerate(persons):
        receipt = shop.notes / f"receipt{number}.json"
        options = [*_options(person, number), "--json", str(receipt)]
        for _ in range(kills // len(persons) + (number < kills % len(persons))):
            process = shop.start("django", *options)
            # From the first import to the last search, wherever that is on this machine.
            try:
                process.wait(rng.uniform(0.3, 1.1) * (min(seconds) if seconds else 3.0))
            except subprocess.TimeoutExpired:
                process.kill()
                killed += 1
            process.communicate()
        began = time.perf_counter()
        process = shop.start("django", *options)
        process.communicate()
        seconds.append(time.perf_counter() - began)
        done = json.loads(receipt.read_text()) if receipt.exists() else {"complete": False}
        incomplete += process.returncode != 0 or not done["complete"]
    return killed, incomplete, max(seconds)


def storm(base: Path, redis: str | None, size: Size, report: Report, ctx: Context) -> None:
    """One transport: everything, with its figures."""
    transport = "redis" if redis else "file"
    shop = Shop(base, redis)
    rng = random.Random(7)
    marks: dict[str, Counter[str]] = {mark: Counter() for mark in scan.MARKS}

    def look(when: str) -> None:
        ctx.progress(f"{transport}: searching every byte, {when}")
        for mark, places in scan.count_marks(shop.contents()).items():
            for place, count in places.items():
                marks[mark][f"{place}, {when}"] += count

    ctx.progress(f"{transport}: {size.visitors} visitors")
    first = json.loads(shop.run("traffic", str(size.visitors), "0"))
    look("before the worker")
    ctx.progress(f"{transport}: a worker's night")
    shop.run("work", "night")
    second = json.loads(shop.run("traffic", str(size.visitors // 2), str(size.visitors)))
    look("after the worker")

    people = shop.notes / "forgotten.json"
    everybody = first["persons"] + second["persons"]
    chosen = rng.sample(everybody, size.forgotten - 1)
    chosen.append(second["persons"][0])  # one of whom the lake has nothing yet
    chosen = list({person["visitor"]: person for person in chosen}.values())
    people.write_text(json.dumps(chosen))
    needles = [name for person in chosen for name in _names(person)]
    control = scan.find(shop.contents(), needles)
    before = json.loads(shop.run("work", "others", str(people)))

    ctx.progress(f"{transport}: forgetting {len(chosen)} persons under {size.kills} kills")
    killed, incomplete, seconds = _forget(shop, chosen, size.kills, rng)
    left = scan.find(shop.contents(), needles)
    after = json.loads(shop.run("work", "others", str(people)))
    late = json.loads(shop.run("work", "late", str(people)))
    came_back = scan.find(shop.contents(), needles)
    look("at the end")

    sent = Counter(first["sent"]) + Counter(second["sent"])
    searched = [place for place, _ in shop.contents()]
    report.figure(f"{transport}_hostile_inputs", sum(sent.values()), (">=", size.hostile), "marked things sent")
    for mark in ("raw_ips", "form_values", "emails", "user_agents"):
        report.figure(f"{transport}_{mark}", marks[mark].total(), ("==", 0), "found")
        if marks[mark]:
            report.table(f"{transport}: {mark}", ["place", "hits"], marks[mark].most_common(20))
    found_in = {place for place in _PLACES[transport] if any(name.startswith(place) for name in control)}
    report.figure(f"{transport}_control", len(found_in), ("==", len(_PLACES[transport])), "places where ids were found")
    report.figure(f"{transport}_other_events", len(before["events"]), (">=", 10 * size.visitors), "events of others")
    report.figure(f"{transport}_forgotten", len(chosen), (">=", size.forgotten - 1), "persons")
    report.figure(f"{transport}_kills", killed, (">=", size.kills // 2), "SIGKILLs of ml_forget")
    report.figure(f"{transport}_incomplete", incomplete, ("==", 0), "receipts or exit codes")
    report.figure(f"{transport}_forgotten_found", left.total(), ("==", 0), "ids found after ml_forget")
    report.figure(f"{transport}_late_dropped", late["dropped"], (">=", late["sent"]), "late events dropped")
    report.figure(f"{transport}_came_back", came_back.total(), ("==", 0), "ids found after late events")
    lost = set(before["events"]) - set(after["events"])
    report.figure(f"{transport}_others_lost", len(lost), ("==", 0), "events of others")
    letters = before["letters"] - after["letters"]
    report.figure(f"{transport}_others_letters_lost", letters, ("==", 0), "dead letters of others")
    report.figure(f"{transport}_forget_seconds", round(seconds, 1), unit="s, the slowest, process start included")
    report.figure(f"{transport}_places_searched", len(searched), unit="files and parts")
    for title, places in (("after ml_forget", left), ("after late events", came_back)):
        if places:
            report.table(f"{transport}: ids found {title}", ["place", "ids"], places.most_common(20))


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    """A Redis of the proof's own, with append-only file and dump, both uncompressed so that bytes can be searched."""
    from tests.servers import NoServer, private_redis

    options = ("--appendonly", "yes", "--appendfsync", "always", "--rdbcompression", "no", "--save", "3600 1")
    try:
        folder.mkdir(parents=True)
        with private_redis(folder, *options) as server:
            yield server.url
    except NoServer as error:
        raise Skip(str(error), server=True) from error


def run(ctx: Context) -> Report:
    """Both transports."""
    size = QUICK if ctx.quick else FULL
    report = Report()
    with tempfile.TemporaryDirectory(prefix="ml-privacy-") as folder:
        storm(Path(folder), None, size, report, ctx)
    with tempfile.TemporaryDirectory(prefix="ml-privacy-") as folder, _server(Path(folder, "shop", "redis")) as url:
        storm(Path(folder), url, size, report, ctx)
    report.note(
        "Searched besides the places of the control: the lake's log, counters, artifacts of models and logs/ml.log. "
        "The shop's own tables hold mailboxes by right and lie in a database of their own."
    )
    report.note("forget_seconds is for information.")
    return report
