"""Access: everything held about a person, readable by the person, found by the same search that erases it."""

from __future__ import annotations

import csv
import io
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ml_models.core import clock
from ml_models.core.errors import InvalidQuery
from ml_models.data_collection.person import Person, trace
from ml_models.data_collection.places import places
from ml_models.data_collection.trained import trained_on

__all__ = ["export_person", "write_export"]

_LAKE = (
    "Events the shop recorded: what you looked at, searched for, put into the cart and bought, each with the page, the "
    "device and the region it came from. `user_id` is your account, `anonymous_id` the number in the shop's cookie. "
    "Prices are in minor units (cents); times are UTC."
)
_MODELS = (
    "Recommendation models that were trained on events of many visitors, yours among them. They hold products and "
    "numbers, no names or ids of persons."
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def export_person(person: Person) -> dict[str, Any]:
    """Everything held about the person: per part an `about` sentence and `entries`, and the ids it was found by.

    Plain values only, times as ISO 8601 text in UTC. Needs memory for the person's rows. Raises `StoreError`.
    """
    from ml_models.adapters.build import get_event_store

    traces = trace(person)
    held = get_event_store().find(traces)
    rows = held.drop("event_date").sort("event_time", "event_id").collect(engine="streaming")
    parts: dict[str, Any] = {
        "events": {"about": _LAKE, "entries": [_filled(row) for row in rows.iter_rows(named=True)]}
    }
    for place in places(traces):
        parts[place.name] = {"about": place.title, "entries": list(place.find())}
    parts["models"] = {"about": _MODELS, "entries": trained_on(held)}
    found_by = {"users": sorted(traces.users), "visitors": sorted(traces.visitors | traces.emails)}
    if traces.spans:
        found_by["shared_devices"] = sorted({span.visitor for span in traces.spans})
    exported: dict[str, Any] = msgspec.to_builtins(
        {"generated_at": clock.now(), "found_by": found_by, "parts": parts}, enc_hook=str
    )
    return exported


def _filled(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without what is empty, its JSON column as values."""
    values = {name: value for name, value in row.items() if value is not None}
    if "data" in values:
        values["data"] = msgspec.json.decode(values["data"])
    return values


def write_export(export: Mapping[str, Any], path: Path) -> None:
    """Write an export as one JSON file (`.json`) or a ZIP (`.zip`) of JSON lines and CSV; only its owner may read it.

    Raises `InvalidQuery` for any other ending, `OSError` where the file cannot be written.
    """
    if path.suffix == ".json":
        content = msgspec.json.format(msgspec.json.encode(export), indent=1) + b"\n"
    elif path.suffix == ".zip":
        content = _zip(export)
    else:
        raise InvalidQuery(f"{path.name} ends neither in .json nor in .zip. Give the export one of these endings.")
    partial = path.with_name(f".{path.name}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    partial.replace(path)


def _zip(export: Mapping[str, Any]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", _readme(export))
        for name, part in export["parts"].items():
            lines = b"".join(msgspec.json.encode(entry) + b"\n" for entry in part["entries"])
            archive.writestr(f"{name}.jsonl", lines)
            archive.writestr(f"{name}.csv", _csv(part["entries"]))
    return out.getvalue()


def _readme(export: Mapping[str, Any]) -> str:
    ids = "\n".join(f"  {kind}: {', '.join(names) or 'none'}" for kind, names in export["found_by"].items())
    parts = "\n\n".join(
        f"{name}: {len(part['entries'])} entries\n  {part['about']}" for name, part in export["parts"].items()
    )
    return (
        f"Everything held about one person, {export['generated_at']}.\n\nFound by:\n{ids}\n\n{parts}\n\n"
        "Each part comes as JSON lines, exactly as it is held, and as CSV for a spreadsheet. In the CSV a quote stands "
        "before text that a spreadsheet would take for a formula.\n"
    )


def _csv(entries: Iterable[Mapping[str, Any]]) -> str:
    rows = list(entries)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(dict(_cells(row)) for row in rows)
    return out.getvalue()


def _cells(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        cell = msgspec.json.encode(value).decode() if isinstance(value, dict | list) else value
        if isinstance(cell, str) and cell.startswith(_FORMULA):
            cell = f"'{cell}"
        yield name, cell
