"""A hostile visitor against the real spool, lake and dead letters: nothing of a person reaches the disk."""

import json
import logging

import pytest
from django.core.management import call_command
from django.test import RequestFactory

from ml_models import signals
from ml_models.adapters import build
from ml_models.data_collection.queue import queue

ADDRESS = "203.0.113.77"
AGENT = "Mozilla/5.0 (X11; Linux x86_64; jane.agent@example.com) Gecko/20100101 Firefox/121.0"
SECRETS = [
    *("jane.query", "jane.path", "jane.referrer", "jane.search", "jane.data", "jane.key", "jane.title", "jane.session"),
    *("jane.agent", "jane.type", "jane.broken", "jane.emit", "jane.log", "jane.item", "jane.cookie", "jane.id"),
]
HEADERS = {
    "User-Agent": AGENT,
    "Referer": "https://mail.example/?to=jane.referrer@example.com",
    "Accept-Language": "de",
}


def drive(client):
    send = {"content_type": "application/json", "headers": HEADERS, "REMOTE_ADDR": ADDRESS}
    client.get(
        "/products/7/?mail=jane.query@example.com&q=jane.search%40example.com", headers=HEADERS, REMOTE_ADDR=ADDRESS
    )
    client.get("/products/jane.path@example.com/", headers=HEADERS, REMOTE_ADDR=ADDRESS)
    events = [
        {
            "event_type": "search",
            "query": "jane.search@example.com +49 171 5550123",
            "session_id": "jane.session@example.com",
            "page_url": "https://jane.cookie@shop.example/reset/MQ/s3cr3t-Pa55-T0ken?q=1#t0p-s3cret",
            "referrer": "https://search.example/?q=jane.referrer@example.com",
            "data": {"note": "jane.data@example.com", "jane.key@example.com": 1, "title": f"from {ADDRESS}"},
        },
        {
            "event_type": "form_interaction",
            "data": {"form_id": "f", "fields": {"name": "Jane F0rmvalue"}, "v": "Jane F0rmvalue"},
        },
        {
            "event_type": "cart_view",
            "items": [{"product_id": "jane.item@example.com"}],
            "event_id": "jane.id@example.com",
        },
        {
            "event_type": "jane.type@example.com",
            "query": "jane.search@example.com",
            "page_url": "/x?mail=jane.query@example.com",
        },
        {
            "event_type": "form_interaction",
            "timestamp": "?",
            "data": {"mail": "jane.broken@example.com", "v": "Jane F0rmvalue"},
        },
        {"event_type": "search", "query": ["jane.broken@example.com", "4111 1111 1111 1111"]},
        {"event_type": "search", "query": "x" * 2000 + " jane.broken@example.com"},
        {"event_type": "search", "jane.key@example.com": {"a": {"b": {"c": {"d": {"e": "jane.data@example.com"}}}}}},
    ]
    answer = client.post(
        "/api/ml/track/", json.dumps({"events": events, "meta": {"batch_id": "jane.id@example.com"}}), **send
    )
    assert answer.json() == {"status": "ok", "processed": 3, "rejected": 5}
    request = RequestFactory().get("/cart/jane.emit@example.com/", headers=HEADERS, REMOTE_ADDR=ADDRESS)
    signals.emit_search(request, "jane.emit@example.com", note=f"{ADDRESS} or 555-123-4567")
    logging.getLogger("bunoraa.ml").error("Refused %s", "jane.log@example.com")
    queue.flush()


@pytest.mark.django_db
def test_nothing_of_a_person_reaches_the_disk(client, settings, tmp_path, caplog):
    settings.ML_STORAGE = {"data": str(tmp_path)}
    build.reset()
    caplog.handler.setFormatter(logging.Formatter("%(message)s"))
    drive(client)
    spooled = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert any("spool" in str(path) for path in spooled)
    call_command("ml_collect", process=True, verbosity=0)
    rows = build.get_event_store().scan().collect()
    assert rows.height == 2 + 3 + 1  # the pages, what was taken of the batch, the server's
    build.reset()
    lake = rows.write_ndjson().encode()
    log = "\n".join(caplog.handler.format(record) for record in caplog.records).encode()
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    for place in (*spooled.values(), *files, lake, log):
        for secret in (
            *SECRETS,
            ADDRESS,
            "AppleWebKit",
            "Gecko",
            "F0rmvalue",
            "4111 1111",
            "s3cr3t",
            "s3cret",
            "5550123",
            "4567",
        ):
            assert secret.encode() not in place, (secret, place[:2000])
    for kept in (b"203.0.113.0/24", b"[email]", b"[phone]", b"/reset/[token]/[token]?q=1", b"Firefox 121"):
        assert kept in lake, kept
    assert b"Refused [email]" in log
