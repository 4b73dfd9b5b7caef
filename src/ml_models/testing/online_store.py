"""The contract of an online store: subclass and say how to make one.

```python
class TestDatabaseOnlineStore(OnlineStoreContract):
    def make(self):
        return DatabaseOnlineStore()
```
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ml_models.core.ids import MAX_ID
from ml_models.core.ports import OnlineStore
from ml_models.core.query import Interaction

__all__ = ["OnlineStoreContract"]

START = datetime(2025, 3, 1, 12, tzinfo=UTC)


def _at(minute: float, item: str = "1", event_type: str = "product_view") -> Interaction:
    return Interaction(item, event_type, START + timedelta(minutes=minute))


class OnlineStoreContract:
    """What every implementation of `ml_models.core.ports.OnlineStore` does."""

    def make(self) -> OnlineStore:
        """An empty store."""
        raise NotImplementedError("Return an empty store of the implementation under test.")

    def test_nobody_has_no_history(self) -> None:
        assert self.make().recent("a:nobody") == []

    def test_reads_back_what_was_recorded_oldest_first(self) -> None:
        store = self.make()
        given = [_at(0, "7"), _at(1, "8", "cart_add"), _at(2, "9")]
        store.record("a:1", given)
        assert store.recent("a:1") == given

    def test_order_follows_time_not_arrival(self) -> None:
        store = self.make()
        store.record("a:1", [_at(2, "late")])
        store.record("a:1", [_at(1, "early")])
        assert [one.item_id for one in store.recent("a:1")] == ["early", "late"]

    def test_limit_keeps_the_newest(self) -> None:
        store = self.make()
        store.record("a:1", [_at(minute, str(minute)) for minute in range(10)])
        assert [one.item_id for one in store.recent("a:1", 3)] == ["7", "8", "9"]
        assert store.recent("a:1", 0) == []

    def test_takes_ids_of_any_kind(self) -> None:
        store = self.make()
        ids = [
            "36948",
            "0190163d-8694-739b-aea5-966c26f8ad91",
            "blaue-schuhe-größe-42",
            "'; DROP TABLE x; --",
            "x" * MAX_ID,
        ]
        store.record("u:ö'\"", [_at(minute, item) for minute, item in enumerate(ids)])
        assert [one.item_id for one in store.recent("u:ö'\"")] == ids

    def test_times_come_back_aware_and_exact(self) -> None:
        store = self.make()
        moment = START.replace(microsecond=123456)
        store.record("a:1", [Interaction("1", "product_view", moment)])
        found = store.recent("a:1")[0].at
        assert found == moment
        assert found.utcoffset() == timedelta(0)

    def test_visitors_do_not_see_each_other(self) -> None:
        store = self.make()
        store.record("a:1", [_at(0, "mine")])
        store.record("u:1", [_at(0, "theirs")])
        assert [one.item_id for one in store.recent("a:1")] == ["mine"]

    def test_records_several_visitors_at_once(self) -> None:
        store = self.make()
        store.record_many({"a:1": [_at(0, "1"), _at(1, "2")], "a:2": [_at(0, "3")], "a:3": []})
        assert [[one.item_id for one in store.recent(key)] for key in ("a:1", "a:2", "a:3")] == [["1", "2"], ["3"], []]

    def test_the_same_fact_from_page_and_server_is_one(self) -> None:
        store = self.make()
        store.record("a:1", [_at(0), _at(0.1), _at(0.1, event_type="cart_add"), _at(0.2, "2"), _at(5)])
        assert [(one.item_id, one.event_type) for one in store.recent("a:1")] == [
            ("1", "product_view"),
            ("1", "cart_add"),
            ("2", "product_view"),
            ("1", "product_view"),
        ]

    def test_is_bounded_per_visitor_and_keeps_the_newest(self) -> None:
        store = self.make()
        for start in range(0, 1000, 20):
            store.record("a:1", [_at(minute, str(minute)) for minute in range(start, start + 20)])
        found = [one.item_id for one in store.recent("a:1", 1000)]
        assert found == [str(minute) for minute in range(800, 1000)]

    def test_merge_gives_the_history_to_the_other(self) -> None:
        store = self.make()
        store.record("a:1", [_at(1, "guest"), _at(3, "guest2")])
        store.record("u:1", [_at(0, "before"), _at(2, "elsewhere")])
        store.merge("a:1", "u:1")
        assert store.recent("a:1") == []
        assert [one.item_id for one in store.recent("u:1")] == ["before", "guest", "elsewhere", "guest2"]

    def test_merge_of_nothing_or_with_itself_changes_nothing(self) -> None:
        store = self.make()
        store.record("u:1", [_at(0, "kept")])
        store.merge("a:nobody", "u:1")
        store.merge("u:1", "u:1")
        assert [one.item_id for one in store.recent("u:1")] == ["kept"]

    def test_forget_erases_one_visitor(self) -> None:
        store = self.make()
        store.record_many({"a:1": [_at(0)], "a:2": [_at(0)]})
        store.forget("a:1")
        assert (store.recent("a:1"), len(store.recent("a:2"))) == ([], 1)
        assert isinstance(store.scrub(), str)
        assert len(store.recent("a:2")) == 1

    def test_expire_drops_what_is_old(self) -> None:
        store = self.make()
        store.record_many({"a:1": [_at(0, "old"), _at(10, "new")], "a:2": [_at(1, "old")]})
        assert store.expire(START + timedelta(minutes=10)) == 2
        assert [one.item_id for one in store.recent("a:1")] == ["new"]
        assert store.recent("a:2") == []
