"""What the journals promise and what the lake holds."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from benchmarks._kill.parts import Plan, event_ids, spool

__all__ = ["acknowledged", "count", "in_commit_order", "out_of_order"]


def _lines(plan: Plan) -> Any:
    for journal in (plan.folder / "journal").iterdir():
        for line in journal.read_text().splitlines():
            first, last = map(int, line.split())
            yield journal.name, first, last


def acknowledged(plan: Plan) -> int:
    """Events that were accepted so far."""
    return sum(last - first for _, first, last in _lines(plan))


def count(plan: Plan, store: Any) -> dict[str, int]:
    """Compare journals and lake, id by id."""
    promised: set[str] = set()
    by_web = 0
    for name, first, last in _lines(plan):
        promised.update(event_ids(name, first, last))
        by_web += (last - first) * name.startswith("w")
    rows = store.scan(columns=["event_id"]).collect().get_column("event_id")
    present = set(rows)
    waiting = spool(plan)
    left = int(waiting.stats()["records"])
    waiting.close()
    refused = [path.read_text() for path in (plan.folder / "refused").iterdir()]
    return {
        "acknowledged": len(promised),
        "acknowledged_by_web": by_web,
        "rows": len(rows),
        "lost": len(promised - present),
        "twice": len(rows) - len(present),
        "unacknowledged_present": len(present - promised),
        "left_in_spool": left,
        "refused_by_web": sum(int(text.split()[0]) for text in refused),
        "commits": store.snapshot().position("committer"),
        "slots": len(list((plan.folder / "spool").iterdir())) if (plan.folder / "spool").is_dir() else 0,
    }


def in_commit_order(plan: Plan) -> list[tuple[int, str, str, Any]]:
    """(commit, session, event id, event time) of every row of a lake that was never compacted, commit by commit."""
    import polars as pl

    lake = plan.folder / "lake"
    found = []
    for entry in sorted((lake / "_delta_log").glob("*.json")):
        paths = [json.loads(line).get("add", {}).get("path") for line in entry.read_text().splitlines()]
        for path in filter(None, paths):
            rows = pl.read_parquet(
                lake / path, columns=["session_id", "event_id", "event_time"], hive_partitioning=False
            )
            found += [(int(entry.stem), *row) for row in rows.rows()]
    return found


def out_of_order(rows: list[tuple[int, str, str, Any]]) -> tuple[int, int, int]:
    """Counts of sessions: all; those out of order by commit; those out of order by event time.

    By commit count the sessions that one process served: an event in a later commit than one accepted after it. By
    event time those that many web workers served.
    """
    sessions: dict[str, list[tuple[int, int, Any]]] = defaultdict(list)
    for commit, session, event_id, at in rows:
        number = int(event_id.rpartition("-")[2], 16 if session.startswith("w") else 10)
        sessions[session].append((number, commit, at))
    by_commit = by_time = 0
    for name, events in sessions.items():
        events.sort()
        if name.startswith("w"):
            times = [at for _, _, at in events]
            by_time += times != sorted(times)
        else:
            commits = [commit for _, commit, _ in events]
            by_commit += commits != sorted(commits)
    return len(sessions), by_commit, by_time
