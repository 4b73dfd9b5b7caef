"""The guide's requests, sent as written; the answers have the shape it shows."""

import json
from typing import Any

import pytest

from tests.guide.snippets import Snippet


def exchange(snippet: Snippet) -> tuple[str, str, Any, Any]:
    """Method, path, request body (None for GET) and answer of a snippet."""
    head, _, answer = snippet.text.partition("Response:\n")
    line, _, body = head.partition("Request:\n")
    method, path = line.split()
    return method, path, json.loads(body) if body else None, json.loads(answer)


@pytest.mark.django_db
@pytest.mark.runs("api-endpoints/tracking-endpoint#1")
def test_tracking(snippet, client, place):
    method, path, body, answer = exchange(snippet)
    assert method == "POST"
    response = client.post(path, json.dumps(body), content_type="application/json")
    assert (response.status_code, response.json()) == (200, answer)
    response = client.post(path, json.dumps(body), content_type="text/plain")  # as sendBeacon sends it
    assert (response.status_code, response.json()) == (200, answer)


@pytest.mark.runs("api-endpoints/recommendations-endpoint#1")
def test_recommendations(snippet, client, products):
    method, path, _, answer = exchange(snippet)
    assert method == "GET"
    response = client.get(path)
    assert response.status_code == 200
    got = response.json()
    assert got["status"] == answer["status"]
    assert len(got["recommendations"]) == 10
    ours = {str(product.pk) for product in products}
    for one in got["recommendations"]:
        assert {name: type(value) for name, value in one.items()} == {"product_id": str, "score": float}
        assert one["product_id"] in ours
