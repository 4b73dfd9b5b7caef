"""Write the event's JSON Schema and TypeScript types from its declaration: `python frontend/event_types.py`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec

from ml_models.core.event import ALIASES, SERVER_ONLY, Event, EventItem, EventType

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = ROOT / "docs" / "events.schema.json"
TYPES = ROOT / "frontend" / "src" / "events.d.ts"


def _descriptions(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Field -> its docstring in the source, where it has one."""
    source = (ROOT / "src/ml_models/core/event.py").read_text(encoding="utf-8")
    body = source.split(f"class {struct.__name__}(", 1)[1].split("\n\n\n", 1)[0]
    found = re.findall(r'^    (\w+): [^\n]*\n    """(.*?)"""', body, re.MULTILINE | re.DOTALL)
    return {name: " ".join(text.split()) for name, text in found}


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of one row of the lake."""
    (reference,), components = msgspec.json.schema_components([Event], ref_template="#/$defs/{name}")
    for struct in (Event, EventItem):
        for name, text in _descriptions(struct).items():
            components[struct.__name__]["properties"][name]["description"] = text
    components["Event"]["properties"]["event_type"]["examples"] = [str(one) for one in EventType]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **reference, "$defs": components}


def _typescript(kind: dict[str, Any]) -> str:
    if "$ref" in kind:
        return str(kind["$ref"]).rsplit("/", 1)[1]
    if "anyOf" in kind:
        return " | ".join(_typescript(one) for one in kind["anyOf"])
    if kind["type"] == "array":
        return f"{_typescript(kind['items'])}[]"
    simple = {"string": "string", "integer": "number", "boolean": "boolean", "null": "null"}
    return simple.get(kind["type"], "Record<string, unknown>")


def _interface(name: str, definition: dict[str, Any]) -> str:
    lines = []
    for field, kind in definition["properties"].items():
        if "description" in kind:
            lines.append(f"  /** {kind['description'].replace('`', '')} */")
        optional = "" if field in definition.get("required", ()) else "?"
        lines.append(f"  {field}{optional}: {_typescript(kind)};")
    summary = definition.get("description", "").split("\n\n")[0].replace("\n", " ").replace("`", "")
    body = "\n".join(lines)
    return f"/** {summary} */\nexport interface {name} {{\n{body}\n}}\n"


def render_schema() -> str:
    """The JSON Schema as text."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def render_types() -> str:
    """The TypeScript declarations as text."""
    vocabulary = "\n".join(f'  | "{one}"' for one in EventType)
    browser = "\n".join(f'  | "{one}"' for one in EventType if one not in SERVER_ONLY)
    aliases = "\n".join(f'  | "{one}"' for one in ALIASES)
    definitions = schema()["$defs"]
    return (
        "// Written by frontend/event_types.py from the event's declaration; do not edit.\n\n"
        f"/** The vocabulary. */\nexport type EventName =\n{vocabulary};\n\n"
        f"/** What a browser may send. */\nexport type BrowserEventName =\n{browser};\n\n"
        f"/** Names of other vocabularies that are understood too. */\nexport type EventAlias =\n{aliases};\n\n"
        + "\n".join(_interface(name, definitions[name]) for name in ("EventItem", "Event"))
    )


if __name__ == "__main__":
    SCHEMA.write_text(render_schema(), encoding="utf-8")
    TYPES.write_text(render_types(), encoding="utf-8")
