"""The event's JSON Schema and TypeScript types follow its declaration."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from ml_models.core.event import Event, EventItem

SCRIPT = Path(__file__).parents[2] / "frontend" / "event_types.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("event_types", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_derived_files_are_in_step(script):
    assert script.SCHEMA.read_text(encoding="utf-8") == script.render_schema(), "run: python frontend/event_types.py"
    assert script.TYPES.read_text(encoding="utf-8") == script.render_types(), "run: python frontend/event_types.py"


def test_the_schema_names_every_field_and_what_is_required(script):
    definitions = json.loads(script.render_schema())["$defs"]
    assert list(definitions["Event"]["properties"]) == list(Event.__struct_fields__)
    assert list(definitions["EventItem"]["properties"]) == list(EventItem.__struct_fields__)
    assert definitions["Event"]["required"] == ["event_id", "event_type", "event_time", "received_at"]
    assert definitions["Event"]["properties"]["event_time"]["format"] == "date-time"
    assert "Canonical" in definitions["Event"]["properties"]["product_id"]["description"]


def test_the_types_name_every_field(script):
    text = script.render_types()
    for struct in (Event, EventItem):
        body = text.split(f"export interface {struct.__name__} {{")[1].split("\n}")[0]
        assert re.findall(r"^  (\w+)\??: ", body, re.MULTILINE) == list(struct.__struct_fields__)
    assert "  items?: EventItem[];" in text
    assert "  quantity?: number | null;" in text
    assert "  event_id: string;" in text
    assert '  | "identity_link"' not in text.split("BrowserEventName")[1].split(";")[0]
