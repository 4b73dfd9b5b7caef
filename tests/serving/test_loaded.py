import logging
import threading

from django.db import OperationalError

from ml_models.adapters import build
from ml_models.core.query import Query
from ml_models.serving.loaded import RETRY_SECONDS, get_models
from tests.waiting import GENEROUS

QUERY = Query(type="popular")


def best(name="popular"):
    """(version, best item) of what is served."""
    loaded = get_models().get(name)
    return loaded and (loaded.version, loaded.artifact.top(QUERY, 1)[0][0])


def test_nothing_promoted(shop):
    assert best() is None


def test_champions_are_read_once_per_interval(shop, time):
    shop.promote_popular({"a": 2, "b": 1})
    for _ in range(50):
        assert best() == (1, "a")
    assert shop.versions.asked == 1
    time.advance(seconds=5.1)
    best()
    assert shop.versions.asked == 2


def test_a_promotion_is_served_after_the_interval_without_a_restart(shop, time):
    shop.promote_popular({"a": 2, "b": 1})
    assert best() == (1, "a")
    shop.promote_popular({"a": 1, "b": 2}, version=2)
    assert best() == (1, "a")
    time.advance(seconds=5.1)
    assert best() == (2, "b")


def test_a_roll_back_is_served(shop, time):
    shop.promote_popular({"a": 2, "b": 1})
    shop.promote_popular({"a": 1, "b": 2}, version=2)
    assert best() == (2, "b")
    shop.versions.promoted["popular"] = 1
    time.advance(seconds=5.1)
    assert best() == (1, "a")


def test_a_model_that_is_no_longer_promoted_is_dropped(shop, time):
    shop.promote_popular({"a": 2})
    assert best() == (1, "a")
    shop.versions.promoted.clear()
    time.advance(seconds=5.1)
    assert best() is None
    assert get_models().status() == {}


def test_the_refresh_interval_is_a_setting(shop, time, ml_serving):
    ml_serving(refresh_seconds=1.0)
    shop.promote_popular({"a": 2, "b": 1})
    best()
    shop.promote_popular({"a": 1, "b": 2}, version=2)
    time.advance(seconds=1.1)
    assert best() == (2, "b")


def test_a_damaged_version_leaves_the_old_one_serving_and_is_tried_again(shop, time, caplog):
    shop.promote_popular({"a": 2, "b": 1})
    assert best() == (1, "a")
    shop.promote_popular({"a": 1, "b": 2}, version=2)
    scores = shop.store.path("popular", 2) / "scores.npy"
    whole = scores.read_bytes()
    scores.write_bytes(whole[:-1])
    time.advance(seconds=5.1)
    with caplog.at_level(logging.ERROR, "bunoraa.ml.serving"):
        assert best() == (1, "a")
        time.advance(seconds=5.1)
        assert best() == (1, "a")
    assert get_models().failures == 1
    [message] = [record.getMessage() for record in caplog.records]
    assert "Version 2 of popular cannot be loaded" in message
    assert "ml_train --model popular" in message
    assert "version 1 keeps serving" in message
    scores.write_bytes(whole)
    time.advance(seconds=RETRY_SECONDS)
    assert best() == (2, "b")


def test_a_damaged_first_version_serves_nothing(shop, caplog):
    shop.promote_popular({"a": 2})
    (shop.store.path("popular", 1) / "manifest.json").write_text("{")
    assert best() is None
    assert get_models().failures == 1
    assert "the next source answers" in caplog.text


def test_unreadable_pointers_leave_what_is_loaded(shop, time, monkeypatch, caplog):
    shop.promote_popular({"a": 2})
    assert best() == (1, "a")

    def down():
        raise OperationalError("no such table: ml_servingmodel")

    with monkeypatch.context() as broken:
        broken.setattr(shop.versions, "champions", down)
        time.advance(seconds=5.1)
        assert best() == (1, "a")
    assert "migrate" in caplog.text
    time.advance(seconds=5.1)
    assert best() == (1, "a")


def test_requests_keep_the_old_version_while_a_large_new_one_loads(shop, time, monkeypatch):
    shop.promote_popular({"a": 2, "b": 1})
    assert best() == (1, "a")
    shop.promote_popular({"a": 1, "b": 2}, version=2)
    finish, path = threading.Event(), shop.store.path

    def slow(name, version):
        assert finish.wait(GENEROUS)
        return path(name, version)

    monkeypatch.setattr(shop.store, "path", slow)
    time.advance(seconds=5.1)
    assert [best() for _ in range(3)] == [(1, "a")] * 3
    [loading] = [thread for thread in threading.enumerate() if thread.name == "ml-load-popular"]
    finish.set()
    loading.join(GENEROUS)
    assert best() == (2, "b")


def test_a_first_version_that_loads_slowly_lets_the_next_source_answer(shop, time, monkeypatch):
    monkeypatch.setattr("ml_models.serving.loaded.FIRST_WAIT", 0.01)
    shop.promote_popular({"a": 2, "b": 1})
    finish, path, opened = threading.Event(), shop.store.path, []

    def slow(name, version):
        opened.append(version)
        assert finish.wait(GENEROUS)
        return path(name, version)

    monkeypatch.setattr(shop.store, "path", slow)
    assert best() is None
    time.advance(seconds=1)  # from now on nobody waits for it any more
    assert [best() for _ in range(3)] == [None] * 3
    [loading] = [thread for thread in threading.enumerate() if thread.name == "ml-load-popular"]
    finish.set()
    loading.join(GENEROUS)
    assert best() == (1, "a")
    assert opened == [1]


def test_a_load_that_fails_in_any_way_is_left_alone_for_a_while(shop, time, monkeypatch, caplog):
    shop.promote_popular({"a": 2, "b": 1})
    opened = []

    def fail(name, version):
        opened.append(version)
        raise MemoryError("no room")

    with monkeypatch.context() as broken:
        broken.setattr(shop.store, "path", fail)
        assert [best() for _ in range(3)] == [None] * 3
    assert (opened, get_models().failures) == ([1], 1)
    assert "no room" in caplog.text
    time.advance(seconds=RETRY_SECONDS)
    assert best() == (1, "a")


def test_threads_asking_at_once_load_once(shop, monkeypatch):
    shop.promote_popular({"a": 2})
    get_models()
    opened, path = [], shop.store.path
    monkeypatch.setattr(shop.store, "path", lambda name, version: opened.append(version) or path(name, version))
    gate, got = threading.Barrier(8), []

    def ask():
        gate.wait(GENEROUS)
        got.append(best())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GENEROUS)
    assert got == [(1, "a")] * 8
    assert opened == [1]


def test_promotions_under_load_fail_no_request(shop, time):
    """Readers never see an error, a gap or a version other than those promoted; the last one is reached."""
    shop.promote_popular({"a": 2, "b": 1})
    stop, wrong = threading.Event(), []

    def ask():
        while not stop.is_set():
            got = best()
            if got is None or got[1] != ("a" if got[0] % 2 else "b"):
                wrong.append(got)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for version in range(2, 12):
        shop.promote_popular({"a": version % 2, "b": 0.5}, version=version)
        time.advance(seconds=6)
        best()
    time.advance(seconds=6)
    stop.set()
    for thread in threads:
        thread.join(GENEROUS)
    assert wrong == []
    assert best() == (11, "a")


def test_another_registry_is_never_answered_with_the_old_ones_models(shop, time, tmp_path):
    from tests.serving.fakes import FakeVersions

    shop.promote_popular({"a": 2})
    assert best() == (1, "a")
    build.override(versions=FakeVersions())
    assert best() is None
