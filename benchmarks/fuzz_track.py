"""A hundred thousand malformed requests: no 500, nothing lost without a trace, no memory kept.

Hypothesis makes bodies and headers that are wrong in every way it can think of, and Schemathesis further ones from the
OpenAPI description of the endpoint; they go to a granian worker over HTTP. The answers say how many events were taken
and how many rejected: so many must be in the lake and in the dead letters. Then malformed events of known visitors,
full of e-mail and IP addresses, none of which may be found in any file, and `ml_forget` for some of these visitors.
Then requests over the limits: none of them may leave a letter.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from benchmarks._track_shop import marked, server
from benchmarks._track_shop.payloads import FIXED, Payload, payloads
from benchmarks.harness import Context, Report, Skip

TITLE = "Malformed track requests: no 500, every refused event in a bounded dead letter, memory flat"

PATH = "/api/ml/track/"
ROUND = 500
"""Payloads of one run of Hypothesis, whose memory of what it has tried is dropped after it."""
DESCRIBED = 10
"""One round in so many is made by Schemathesis."""
DESCRIBED_QUICK = 100
"""Payloads of such a round in a quick run: each takes ten times as long to make as one of Hypothesis."""
FULL: dict[str, Any] = {"payloads": 100_000, "over": 5_000, "memory": 16.0, "people": 40, "each": 50, "forgotten": 8}
QUICK: dict[str, Any] = {"payloads": 1_500, "over": 300, "memory": 24.0, "people": 6, "each": 10, "forgotten": 1}
"""MiB that the worker may grow by from a fifth of the way on; caches are not yet full there in a quick run."""
LIMITS = {"network_rate": 0.1, "network_burst": 1_000_000, "visitor_rate": 1e5, "trusted_proxies": 1}
"""Nothing is refused until the last stage, which sends from a network whose bucket it has made small."""


@dataclass(slots=True)
class Outcome:
    """What the answers said."""

    sent: int = 0
    processed: int = 0
    rejected: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    bad: list[tuple[str, Payload]] = field(default_factory=list)
    memory: list[tuple[int, float]] = field(default_factory=list)


def run(ctx: Context) -> Report:
    """Throw everything, then count."""
    if not hasattr(os, "sched_setaffinity") or not Path("/proc/self/statm").exists():
        raise Skip("the memory of the server can be read on Linux only")
    plan, report, outcome = QUICK if ctx.quick else FULL, Report(), Outcome()
    cores = sorted(os.sched_getaffinity(0))
    number = int.from_bytes(os.urandom(4), "big")
    with tempfile.TemporaryDirectory(prefix="fuzz-track-") as temporary:
        folder = Path(temporary)
        server.python(folder, "build", "1")
        more = {"TRACK_SHOP_LIMITS": json.dumps(LIMITS)}
        with server.serve(folder, "granian", core=cores[0], threads=2, **more) as (port, pid):
            send = _sender(port, outcome)
            for body in FIXED:  # each for certain, however few are made at random
                send(Payload(body))
            turn = 0
            while outcome.sent < plan["payloads"]:
                described = turn % DESCRIBED == 0
                many = DESCRIBED_QUICK if described and ctx.quick else ROUND
                _round(send, described=described, many=many, number=number + outcome.sent)
                outcome.memory.append((outcome.sent, _rss(pid)))
                if turn % 20 == 0:
                    ctx.progress(f"{outcome.sent:,} payloads, {outcome.memory[-1][1]:.0f} MiB")
                turn += 1
            done = json.loads(server.python(folder, "lake", "commit"))
            people = _people(folder, port, plan, random.Random(number), ctx)
        letters = _letters(folder)
        log = (folder / "granian.log").read_text(errors="replace")
        over = _over_the_limits(folder, plan["over"], cores[0], ctx)
        outcome.rejected += people.pop("rejected_and_kept")
        _report(report, plan, outcome, letters, over, done, log)
        for name, found in people.items():
            report.figure(name, found, (">", 0) if name.startswith("malformed") else ("==", 0))
        _keep(ctx, outcome)
        if "Traceback" in log:
            (ctx.out / "server.log").write_text(log, encoding="utf-8")
    report.note(f"Seed {number}. Answers: {', '.join(f'{key} {n:,}' for key, n in sorted(outcome.statuses.items()))}.")
    return report


def _round(send: Callable[[Payload], None], *, described: bool, many: int, number: int) -> None:
    @seed(number)
    @settings(
        max_examples=many,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(payloads(described))
    def throw(payload: Payload) -> None:
        send(payload)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries that make the payloads
        throw()


def _sender(port: int, outcome: Outcome) -> Callable[[Payload], None]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def send(payload: Payload) -> None:
        outcome.sent += 1
        extra = {"Content-Type": "application/json", "X-Forwarded-For": f"203.0.{outcome.sent % 200}.7"}
        for last in (False, True):
            try:
                connection.request("POST", PATH, payload.body, {**extra, **payload.headers})
                response = connection.getresponse()
                answer = response.read()
                break
            except (OSError, http.client.HTTPException) as error:
                # A server may close a connection after the answer to a request whose body it did not read; what a
                # client sends on it at that moment it sends again on another.
                connection.close()
                if last:
                    outcome.bad.append((repr(error), payload))
                    return
        outcome.statuses[response.status] += 1
        if response.status >= 500:
            outcome.bad.append((f"{response.status} {answer[:200]!r}", payload))
        elif response.status == 200:
            said = json.loads(answer)
            outcome.processed += said["processed"]
            outcome.rejected += said.get("rejected", 0)

    return send


def _people(folder: Path, port: int, plan: dict[str, Any], rng: random.Random, ctx: Context) -> dict[str, int]:
    """Malformed events of known visitors: what of them is found in files, and what erasing some of them leaves."""
    ctx.progress(f"malformed events of {plan['people']} known visitors")
    cookies = marked.visitors(port, plan["people"])
    rejected = marked.send(port, cookies, plan["each"], rng)
    before = marked.letters_of(folder)
    marks = marked.marks_in(folder)
    if marks:
        (ctx.out / "marks.txt").write_text("\n".join(marks), encoding="utf-8")
    forgotten = [cookie.split(".")[1] for cookie in cookies[: plan["forgotten"]]]
    for visitor in forgotten:
        ctx.progress(f"ml_forget of {visitor}")
        server.python(folder, "manage", "ml_forget", "--visitor", visitor, "--yes")
    after = marked.letters_of(folder)
    others = [visitor for visitor in rejected if visitor not in forgotten]
    return {
        "rejected_and_kept": sum(after[visitor] for visitor in others),
        "malformed events of known visitors": rejected.total(),
        "of them not in a dead letter": sum(abs(n - before[visitor]) for visitor, n in rejected.items()),
        "raw e-mail and IP addresses in any file": len(marks),
        "dead letters of forgotten visitors": sum(after[visitor] for visitor in forgotten),
        "dead letters of others that ml_forget took": sum(before[one] - after[one] for one in others),
    }


def _letters(folder: Path) -> dict[str, Any]:
    """The dead letters, how many were cut to the room of their request, and what a clean-up in 31 days leaves."""
    from ml_models.adapters.dead_letters import DeadLetters
    from ml_models.core import clock
    from ml_models.data_collection import counters

    dead = DeadLetters(folder / "ml_data" / "dead_letters")
    found = dead.stats()
    # The server has ended, and written its counts.
    found["cut"] = counters.totals(folder / "ml_data" / "counters").get("dead_letters.cut", 0)
    with clock.use(clock.ManualClock(clock.now() + timedelta(days=31))):
        dead.prune()
        found["after_31_days"] = dead.stats()["letters"]
    return found


def _over_the_limits(folder: Path, count: int, core: int, ctx: Context) -> dict[str, Any]:
    """Malformed events in requests that are too many or too large: the answers, and the letters they left."""
    ctx.progress(f"{count:,} requests over the limits")
    wrong = json.dumps({"events": [{"event_type": "nonsense"}]}).encode()
    large = json.dumps({"events": [{"event_type": "nonsense", "x": "y" * 300_000}]}).encode()
    many = json.dumps({"events": [{"event_type": "nonsense"}] * 101}).encode()
    outcome = Outcome()
    limits = {"network_rate": 0.1, "network_burst": 10, "trusted_proxies": 1}
    with server.serve(folder, "granian", core=core, threads=2, TRACK_SHOP_LIMITS=json.dumps(limits)) as (port, _):
        send = _sender(port, outcome)
        for place in range(count):
            address = {"X-Forwarded-For": "198.51.100.1"}
            if place % 3 == 0:
                send(Payload(wrong, address))
            else:
                send(
                    Payload(large if place % 3 == 1 else many, {"X-Forwarded-For": f"192.0.{place % 250}.{place % 7}"})
                )
        time.sleep(1.5)  # counts are written once a second
    from ml_models.data_collection import counters

    return {
        "outcome": outcome,
        "letters": _letters(folder)["letters"],
        "counted": counters.totals(folder / "ml_data" / "counters"),
    }


def _report(
    report: Report,
    plan: dict[str, Any],
    outcome: Outcome,
    letters: dict[str, Any],
    over: dict[str, Any],
    done: dict[str, Any],
    log: str,
) -> None:
    kept = letters["letters"] + letters["dropped"]
    report.figure("payloads", outcome.sent, (">=", plan["payloads"]))
    report.figure("answers of 500 and above, broken connections", len(outcome.bad), ("==", 0))
    report.figure(
        "exceptions and errors in the log", len(re.findall(r"Traceback|^ERROR|^CRITICAL", log, re.M)), ("==", 0)
    )
    report.figure("events rejected", outcome.rejected, (">", 0))
    report.figure("rejected events not in a dead letter", abs(outcome.rejected - kept), ("==", 0))
    report.figure("dead letters cut to the room of their request", letters["cut"], (">", 0))
    report.figure("dead letters", letters["letters"], None, f"of {len(letters['by_reason'])} reasons")
    report.figure("bytes of dead letters", letters["bytes"], ("<=", 64 << 20), "bytes")
    report.figure("dead letters left after 31 days", letters["after_31_days"], ("==", 0))
    report.figure("events taken", outcome.processed, (">", 0))
    reached = done["rows"] + done["duplicates"]
    report.figure("events taken that did not reach the lake", outcome.processed - reached, ("==", 0))
    report.figure("records that the lake refused", done["dead"], ("==", 0))
    said: Outcome = over["outcome"]
    refused = said.statuses[429] + said.statuses[413]
    report.figure("requests over the limits refused", refused, (">=", plan["over"] - 10), "requests")
    counted = over["counted"]
    report.figure(
        "of them counted by reason",
        sum(n for reason, n in counted.items() if reason.startswith("track.429.")) + counted.get("track.413", 0),
        (">=", refused),
        "requests",
    )
    report.figure("dead letters of refused requests", over["letters"] - said.rejected, ("==", 0))
    early = next(memory for sent, memory in outcome.memory if sent >= outcome.sent / 5)
    grown = max(memory for _, memory in outcome.memory[len(outcome.memory) // 5 :]) - early
    report.figure("memory of the worker at a fifth", round(early, 1), None, "MiB")
    report.figure("memory grown from there on", round(grown, 1), ("<=", plan["memory"]), "MiB")
    rows = list(letters["by_reason"].items())
    report.table("dead letters by reason", ["reason", "letters"], [list(row) for row in rows])


def _keep(ctx: Context, outcome: Outcome) -> None:
    """What went wrong, for whoever mends it."""
    for number, (what, payload) in enumerate(outcome.bad[:20]):
        text = f"{what}\n{payload.headers}\n{payload.body[:4000]!r}\n"
        (ctx.out / f"bad-{number}.txt").write_text(text, encoding="utf-8", errors="backslashreplace")


def _rss(pid: int) -> float:
    """Resident memory of a server and its workers; MiB."""
    pages = sum(int((path / "statm").read_text().split()[1]) for path in _processes(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _processes(pid: int) -> Iterator[Path]:
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
        if pid in (int(path.name), parent):
            yield path
