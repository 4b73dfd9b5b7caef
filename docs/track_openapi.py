"""Write docs/track.openapi.json, the OpenAPI description of the track endpoint, from the code that checks requests.

`python docs/track_openapi.py`; a test fails when the file is stale.
"""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "track.openapi.json"
ID = {"type": ["string", "integer", "null"]}
ANSWERS = {
    "400": "Malformed: not the object below, or cut off. Nothing was taken.",
    "403": 'From another site than this one and those of `ML_API["allowed_origins"]`.',
    "404": "`ML_ENABLED` is False.",
    "405": "Not POST.",
    "413": 'Larger than `ML_API["max_body"]`, or more events than `ML_API["max_events"]`. Nothing was taken.',
    "429": "Too many requests of this visitor or network (`ML_LIMITS`). Nothing was taken; wait for `Retry-After`.",
    "503": "The spool cannot store events. Nothing was taken; wait for `Retry-After`.",
}


def _fields() -> dict[str, Any]:
    """A schema for every name that the endpoint reads, by the function that checks it."""
    from ml_models.data_collection import wire_fields as fields

    amount = {"type": ["number", "string", "null"], "description": "Major units, such as 99.99."}
    currency = {"type": ["string", "null"], "pattern": "^[A-Za-z]{3}$", "description": "ISO 4217."}
    kinds: dict[Any, Any] = {
        fields.as_text: lambda limit: {**ID, "maxLength": limit},
        fields.as_address: lambda limit: {
            "type": ["string", "null"],
            "description": f"Cut to {limit} characters.",
        },
        fields.as_count: lambda limit: {"type": ["integer", "null"], "minimum": 0, "maximum": limit},
        fields.as_given: lambda limit: amount,
        fields.as_currency: lambda limit: currency,
    }
    items = {name: kinds[check](limit) for name, (_, check, limit) in fields.ITEM_FIELDS.items()}
    listed = {
        "type": ["array", "null"],
        "maxItems": fields.MAX_ITEMS,
        "items": {
            "type": "object",
            "properties": items,
            "anyOf": [{"required": ["product_id"]}, {"required": ["item_id"]}],
        },
    }
    found = {
        name: kinds[check](limit) for name, (_, check, limit) in fields.FIELDS.items() if check is not fields.as_items
    }
    return {**found, **{name: listed for name, field in fields.FIELDS.items() if field[1] is fields.as_items}}


def render() -> str:
    """The text of the file."""
    from ml_models.core.event import ALIASES, SERVER_ONLY, EventType
    from ml_models.data_collection import wire
    from ml_models.settings import ApiSettings

    names = [one.value for one in EventType if one not in SERVER_ONLY]
    names += [alias for alias, meant in ALIASES.items() if meant not in {one.value for one in SERVER_ONLY}]
    free = {"type": ["object", "null"], "description": f"At most {wire.MAX_KEYS} keys that are no fields."}
    event = {
        "type": "object",
        "description": "A further key goes into `data`. What only the server may say, such as `user_id`, is not read.",
        "required": ["event_type"],
        "properties": {
            "event_type": {"type": "string", "enum": sorted(names)},
            "event_id": {"type": "string", "description": "UUID of version 4 or 7: the event counts once."},
            "timestamp": {"type": ["string", "number"], "description": "ISO 8601, or seconds or milliseconds."},
            "data": free,
            **_fields(),
        },
    }
    body = {
        "type": "object",
        "required": ["events"],
        "properties": {
            "events": {"type": "array", "maxItems": ApiSettings().max_events, "items": event},
            "meta": {
                "type": ["object", "null"],
                "properties": {
                    "batch_id": {"type": ["string", "integer"], "description": "The same at every retry."},
                    "sent_at": {"type": ["string", "number"], "description": "By the clock of the timestamps."},
                },
            },
        },
    }
    taken = {
        "type": "object",
        "required": ["status", "processed"],
        "properties": {
            "status": {"const": "ok"},
            "processed": {"type": "integer", "description": "Events that survive a power cut from now on."},
            "rejected": {"type": "integer", "description": "Events that broke the schema; they are kept aside."},
            "consent": {
                "enum": ["pending", "denied"],
                "description": "Why nothing was stored: `pending`, the visitor has not been asked yet, so keep the "
                "events and send them when consent is given; `denied`, drop them.",
            },
        },
    }
    refused = {
        "type": "object",
        "required": ["status", "error"],
        "properties": {"status": {"const": "error"}, "error": {"type": "string"}},
    }
    content = {name: {"schema": body} for name in ("application/json", "text/plain")}
    responses = {"200": {"description": "Taken.", "content": {"application/json": {"schema": taken}}}}
    for status, text in ANSWERS.items():
        responses[status] = {"description": text, "content": {"application/json": {"schema": refused}}}
    operation = {
        "operationId": "track",
        "summary": "Take a batch of events",
        "requestBody": {"required": True, "content": content},
        "responses": responses,
    }
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Bunoraa ML: track endpoint", "version": "1"},
        "paths": {"/api/ml/track/": {"post": operation}},
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "src"))
    OUTPUT.write_text(render(), encoding="utf-8")
