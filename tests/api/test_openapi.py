"""The OpenAPI description of the track endpoint follows the code."""

import importlib.util
import json
from pathlib import Path

import pytest

from ml_models.data_collection import wire_fields

SCRIPT = Path(__file__).parents[2] / "docs" / "track_openapi.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("track_openapi", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_file_is_in_step(script):
    assert script.OUTPUT.read_text(encoding="utf-8") == script.render(), "run: python docs/track_openapi.py"


def test_it_names_every_field_that_is_read_and_none_that_is_the_servers(script):
    document = json.loads(script.render())
    body = document["paths"]["/api/ml/track/"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    event = body["properties"]["events"]["items"]["properties"]
    assert set(wire_fields.FIELDS) < set(event)
    assert not wire_fields.RESERVED & set(event)
    assert "identity_link" not in event["event_type"]["enum"]
    assert {"product_view", "view_item", "Order Completed"} < set(event["event_type"]["enum"])
