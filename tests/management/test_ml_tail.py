"""`ml_tail` shows what arrives through any spool, and moves nothing."""

import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command

from ml_models.adapters import build
from ml_models.adapters.event_store_memory import MemoryEventStore
from ml_models.adapters.spool_fallback import FallbackSpool
from ml_models.adapters.spool_file import FileSpool
from ml_models.adapters.spool_memory import MemorySpool
from ml_models.adapters.spool_redis import RedisSpool
from ml_models.core import clock
from ml_models.core.errors import SpoolError
from ml_models.core.event import Event, EventItem, encode_event
from ml_models.core.ids import uuid7
from ml_models.core.lake_schema import to_frame

NOW = datetime(2024, 6, 15, 10, 0, tzinfo=UTC)


def event(event_type="product_view", *, ago=timedelta(), **fields):
    moment = clock.now() - ago
    return Event(event_id=uuid7(), event_type=event_type, event_time=moment, received_at=moment, **fields)


class Script(clock.ManualClock):
    """A clock that moves when somebody waits; after some seconds things happen."""

    def __init__(self, start):
        super().__init__(start)
        self.plan = []
        self.interrupt_after = 0.0

    def sleep(self, seconds):
        super().sleep(seconds)
        while self.plan and self.monotonic() >= self.plan[0][0]:
            self.plan.pop(0)[1]()
        if self.monotonic() >= self.interrupt_after:
            raise KeyboardInterrupt


@pytest.fixture(params=["file", "memory"])
def spool(request, tmp_path):
    build.reset()
    spool = MemorySpool() if request.param == "memory" else FileSpool(tmp_path / "spool")
    build.override(spool=spool, event_store=MemoryEventStore())
    with clock.use(Script(NOW)) as now:
        spool.clock = now
        spool.later = lambda seconds, *events: now.plan.append((seconds, lambda: put(spool, *events)))
        yield spool
    build.reset()


def put(spool, *events):
    spool.append([encode_event(one) for one in events])


def tail(*options):
    out, errors = io.StringIO(), io.StringIO()
    clock.current().interrupt_after = clock.current().monotonic() + 60
    call_command("ml_tail", *options, stdout=out, stderr=errors)
    return out.getvalue().splitlines(), errors.getvalue()


def test_it_shows_what_arrives_and_ends_with_ctrl_c(spool):
    put(spool, event(product_id="before"))
    spool.later(
        1, event(product_id="p1", anonymous_id="0193-visitor"), event("page_view", page_url="/shoes/", user_id="7")
    )
    spool.later(3, event("purchase", order_id="o9", items=[EventItem(product_id="p2")], source="outbox"))
    shown, _ = tail()
    assert len(shown) == 3
    assert shown[0].split()[1:] == ["product_view", "js", "a:0193-visitor", "product", "p1"]
    assert shown[1].split()[1:] == ["page_view", "js", "u:7", "/shoes/"]
    assert shown[2].endswith("1 products, order o9")
    assert "before" not in str(shown)


def test_it_moves_no_position(spool):
    put(spool, *(event() for _ in range(3)))
    before = {name: spool.read(name, 0, 100) for name in spool.sources()}
    tail("--since", "1h", "--lines", "3")
    assert {name: spool.read(name, 0, 100) for name in spool.sources()} == before
    assert spool.stats()["records"] == 3


def test_lines_and_json(spool):
    spool.later(1, *(event(product_id=f"p{n}") for n in range(5)))
    shown, _ = tail("--lines", "2", "--json")
    assert [json.loads(one)["product_id"] for one in shown] == ["p0", "p1"]
    assert json.loads(shown[0])["received_at"].startswith("2024-06-15")


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (["--type", "cart_add"], ["c"]),
        (["--type", "cart_add", "--type", "product_view"], ["a", "b", "c"]),
        (["--source", "middleware"], ["b"]),
        (["--product", "p2"], ["b", "d"]),
        (["--visitor", "u:7"], ["a"]),
        (["--visitor", "guest"], ["b"]),
        (["--visitor", "a:guest"], ["b"]),
        (["--visitor", "u:guest"], []),
        (["--visitor", "s-1"], ["c"]),
        (["--since", "10m"], ["a", "b", "c", "d"]),
        (["--since", "2024-06-15T11:30"], ["a", "b", "c", "d", "old"]),  # 9:30 UTC: TIME_ZONE is Berlin
    ],
)
@pytest.mark.parametrize("where", ["spool", "lake"])
def test_filters(spool, options, kept, where):
    rows = [
        event(ago=timedelta(minutes=20), placement="old"),
        event(placement="a", product_id="p1", user_id="7"),
        event(placement="b", product_id="p2", source="middleware", anonymous_id="guest"),
        event("cart_add", placement="c", product_id="p1", session_id="s-1"),
        event("purchase", placement="d", items=[EventItem(product_id="p2")], data={"x": 1}),
    ]
    if where == "lake":
        store = build.get_event_store()
        store.commit(store.snapshot(), {}, to_frame(rows))
        options = [*options, "--lake"]
    else:
        put(spool, *rows)
    if "--since" not in options:
        options = ["--since", "10m", *options]
    shown, _ = tail(*options, "--json")
    assert sorted(json.loads(one)["placement"] for one in shown) == kept


def test_an_event_of_both_lake_and_spool_is_shown_once(spool):
    one = event(product_id="p1")
    put(spool, one)
    store = build.get_event_store()
    store.commit(store.snapshot(), {}, to_frame([one]))
    assert len(tail("--since", "1m", "--lake")[0]) == 1


def test_why_nothing_comes(spool, settings):
    assert "empty. Open a page" in tail()[1]
    put(spool, event())
    assert "1 events wait in the spool" in tail()[1]


def test_a_record_that_cannot_be_read_is_passed_over(spool):
    spool.later(1, event(product_id="p1"))
    spool.clock.plan.insert(0, (0.5, lambda: spool.append([b"\xc1"])))
    assert len(tail()[0]) == 1


def test_switched_off(spool, settings):
    settings.ML_ENABLED = False
    assert tail() == ([], "ML_ENABLED is False: nothing is recorded. Set it to True in settings.py.\n")


def test_what_cannot_be_asked_is_said(spool):
    with pytest.raises(CommandError, match="--lake needs --since"):
        tail("--lake")
    with pytest.raises(CommandError, match="is no time"):
        tail("--since", "yesterday")


def test_redis_that_is_away_is_said_with_its_remedy_and_the_files_are_shown(tmp_path, settings):
    redis = pytest.importorskip("redis") and RedisSpool(url="redis://127.0.0.1:1/0", site="tail")
    build.override(spool=FallbackSpool(tmp_path / "spool", redis=redis, automatic=False))
    with clock.use(Script(NOW)) as now:
        put(build.get_spool(), event(product_id="p1"))
        now.plan.append((2, lambda: put(build.get_spool(), event(product_id="p2"))))
        shown, said = tail("--since", "1h")
    build.reset()
    assert [one.split()[-1] for one in shown] == ["p1", "p2"]
    assert said.startswith("Could not connect to Redis at 127.0.0.1:1")
    assert "redis-cli ping" in said
    assert said.count("Could not connect") == 1


def test_events_that_move_from_files_to_redis_and_two_epochs_are_shown_once_each(tmp_path, redis_url):
    def process():
        return FallbackSpool(
            tmp_path / "spool", redis=RedisSpool(url=redis_url, site="tailing", timeout=10), automatic=False
        )

    web, reader = process(), process()
    build.override(spool=reader)
    with clock.use(Script(NOW)) as now:
        put(web, event(product_id="p1"))
        with pytest.importorskip("redis").Redis.from_url(
            redis_url
        ) as client:  # another life of the server begins a new epoch
            client.hset("ml:{tailing}:spool", "run", "another")
        web._leave(SpoolError("away"))
        put(web, event(product_id="p2"))
        now.plan += [(1, web.come_back), (2, lambda: put(web, event(product_id="p3")))]
        shown, _ = tail("--since", "1h")
    web.close()
    build.reset()
    assert [one.split()[-1] for one in shown] == ["p1", "p2", "p3"]
