"""The guide's `EventTracker`."""

import datetime
import uuid
from decimal import Decimal

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy

from ml_models.data_collection import counters
from ml_models.data_collection.events import EventTracker, EventType


def test_the_guides_custom_event(recorded):
    event_id = EventTracker().track_event(
        session_id="session-123",
        user_id=7,
        event_type=EventType.CUSTOM,
        data={"action": "video_play", "video_id": "456", "duration": 120},
    )
    (event,) = recorded.events
    assert event.event_id == event_id
    assert (event.event_type, event.session_id, event.user_id) == ("custom", "session-123", "7")
    assert (event.source, event.anonymous_id) == ("server", None)
    assert event.data == {"action": "video_play", "video_id": "456", "duration": 120}


def test_columns_are_filled_from_data(recorded):
    key = uuid.uuid4()
    data = {"product_id": key, "quantity": 2, "price": Decimal("19.90"), "size": gettext_lazy("large")}
    EventTracker().track_event("s", None, EventType.CART_ADD, data)
    (event,) = recorded.events
    assert (event.product_id, event.quantity, event.unit_price, event.currency) == (str(key), 2, 1990, "EUR")
    assert event.data == {"size": "large"}


def test_what_django_code_puts_in_becomes_storable(recorded):
    day = datetime.date(2025, 3, 1)
    EventTracker().track_event("s", data={"action": "x", "day": day, "tags": {"b"}, "price": Decimal("1.10")})
    assert recorded.events[0].data == {"action": "x", "day": "2025-03-01", "tags": ["b"], "price": "1.10"}


def test_a_users_interaction_is_known_at_once(recorded):
    EventTracker().track_event("s", 7, EventType.PRODUCT_VIEW, {"product_id": 3})
    assert len(recorded.events) == 1
    assert [one.item_id for one in recorded.online.recent("u:7")] == ["3"]


@pytest.mark.parametrize(
    ("event_type", "data", "reason"),
    [
        ("nonsense", {}, "rejected.unknown_type"),
        (EventType.PRODUCT_VIEW, {}, "rejected.missing"),
        (EventType.CUSTOM, {"x": object()}, "rejected.wrong_type"),
        (EventType.CUSTOM, 5, "rejected.wrong_type"),
    ],
)
def test_a_mistake_is_counted_and_never_raised(recorded, caplog, event_type, data, reason):
    caplog.set_level("CRITICAL", "bunoraa.ml")
    assert EventTracker().track_event("s", 1, event_type, data) is None
    assert recorded.events == []
    assert counters.snapshot() == {reason: 1}


class TestUser:
    """Who it was, from whatever the shop has at hand."""

    @pytest.mark.parametrize("wrap", [lambda user: user, lambda user: SimpleLazyObject(lambda: user)])
    def test_a_user_is_known_by_the_primary_key_and_never_by_name(self, recorded, wrap):
        user = get_user_model()(pk=7, username="ann@example.com")
        EventTracker().track_event(user_id=wrap(user), data={"action": "x"})
        EventTracker().track_event(user_id=wrap(user), event_type=EventType.PRODUCT_VIEW, data={"product_id": 1})
        assert [event.user_id for event in recorded.events] == ["7", "7"]

    @pytest.mark.parametrize("nobody", [None, "", AnonymousUser(), SimpleLazyObject(AnonymousUser)])
    def test_nobody_is_nobody(self, recorded, nobody):
        EventTracker().track_event(user_id=nobody, data={"action": "x"})
        EventTracker().track_event(user_id=get_user_model()(username="not saved"), data={"action": "x"})
        assert [event.user_id for event in recorded.events] == [None, None]

    def test_ids_of_any_type_are_text(self, recorded):
        key = uuid.uuid4()
        for user in (7, "7", key):
            EventTracker().track_event(user_id=user, data={"action": "x"})
        assert [event.user_id for event in recorded.events] == ["7", "7", str(key)]

    def test_a_user_who_cannot_be_loaded_breaks_nothing(self, recorded, caplog):
        caplog.set_level("CRITICAL", "bunoraa.ml")

        def fails():
            raise OSError("the sessions are away")

        assert EventTracker().track_event(user_id=SimpleLazyObject(fails), data={"action": "x"}) is None
        assert counters.snapshot() == {"record.failed": 1}


def test_part_of_a_kilogram_is_a_piece_at_that_part_of_the_price(recorded):
    add = {"product_id": 1, "quantity": Decimal("0.500"), "price": Decimal("8.00")}
    EventTracker().track_event(event_type=EventType.CART_ADD, data=add)
    EventTracker().track_event(event_type=EventType.CART_ADD, data={**add, "quantity": Decimal("2.000")})
    EventTracker().track_event(event_type=EventType.CUSTOM, data=add)
    first, second, custom = recorded.events
    assert (first.quantity, first.unit_price) == (1, 400)
    assert (second.quantity, second.unit_price) == (2, 800)
    assert custom.data["quantity"] == "0.500"


@pytest.mark.parametrize("off", [{"ML_ENABLED": False}, {"ML_DATA_COLLECTION": {"enabled": False}}])
def test_switched_off_nothing_is_kept(recorded, settings, off):
    for name, value in off.items():
        setattr(settings, name, value)
    recorded.install()
    assert EventTracker().track_event("s", data={"action": "x"}) is None
    assert recorded.events == []
