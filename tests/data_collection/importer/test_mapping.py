from datetime import UTC, datetime

import polars as pl
import pytest

from ml_models.core import clock
from ml_models.core.errors import ConfigError
from ml_models.data_collection.importer.mapping import ColumnMap, parse_pairs

BASE = {"user": "u", "item": "i", "time": "t"}


def apply(columns, options, **cells):
    height = max(len(cell) for cell in cells.values())
    fill = {"u": ["1"] * height, "i": ["p"] * height, "t": ["2024-01-15"] * height}
    options.setdefault("event_type", "product_view")
    return ColumnMap(columns={**BASE, **columns}, **options).apply(pl.DataFrame({**fill, **cells}))


def reasons(mapped):
    return dict(mapped.bad.select("index", "reason").rows())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-15T10:30:00Z", "2024-01-15T10:30:00"),
        ("2024-01-15T10:30:00.250+02:00", "2024-01-15T08:30:00.250"),
        ("2024-01-15 10:30:00", "2024-01-15T09:30:00"),  # Berlin, winter
        ("2024-07-15 10:30", "2024-07-15T08:30:00"),  # Berlin, summer
        ("2024-01-15", "2024-01-14T23:00:00"),
        ("2024-03-31 02:30:00", "2024-03-31T01:30:00"),  # a clock time that does not exist
        ("2024-10-27 02:30:00", "2024-10-27T00:30:00"),  # one that comes twice: the first
        ("20240115", "2024-01-14T23:00:00"),  # a date, not seconds of August 1970
        ("1705314600", "2024-01-15T10:30:00"),
        ("1705314600250", "2024-01-15T10:30:00.250"),
        ("1705314600250000", "2024-01-15T10:30:00.250"),
    ],
)
def test_times(text, expected):
    mapped = apply({}, {"timezone": "Europe/Berlin"}, t=["2024-02-02 00:00:00", text])
    assert mapped.events["event_time"][1] == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_a_column_of_numbers_is_read_as_its_text_would_be():
    mapped = apply({}, {}, t=pl.Series([20240115, 1705314600]))
    moments = [datetime(2024, 1, 15, tzinfo=UTC), datetime(2024, 1, 15, 10, 30, tzinfo=UTC)]
    assert mapped.events["event_time"].to_list() == moments
    mapped = apply({}, {"time_format": "%Y%m%d"}, t=pl.Series([20240115]))
    assert mapped.events["event_time"].to_list() == moments[:1]


def test_given_formats_of_time():
    mapped = apply({}, {"time_format": "%d/%m/%Y %H:%M", "timezone": "Asia/Tokyo"}, t=["03/02/2024 09:00"])
    assert mapped.events["event_time"][0] == datetime(2024, 2, 3, tzinfo=UTC)
    mapped = apply({}, {"time_format": "epoch_ms"}, t=["1000000000"])
    assert mapped.events["event_time"][0] == datetime(1970, 1, 12, 13, 46, 40, tzinfo=UTC)
    mapped = apply({}, {"time_format": "position"}, t=["25"])
    assert mapped.events["event_time"][0] == datetime(2000, 1, 2, 1, tzinfo=UTC)


def test_bad_times():
    with clock.use(clock.ManualClock(datetime(2024, 6, 1, tzinfo=UTC))):
        mapped = apply({}, {}, t=["", None, "soon", "2024-06-03", "1969-01-01", "2024-06-01"])
    assert reasons(mapped) == {
        0: "missing_time",
        1: "missing_time",
        2: "bad_time",
        3: "time_out_of_range",
        4: "time_out_of_range",
    }
    assert mapped.events.height == 1


def test_who_and_what():
    mapped = apply(
        {"anonymous": "a"},
        {},
        u=["1", " ", None, "x" * 151, "1", "1"],
        a=[None, "dev", None, None, None, None],
        i=["p", "p", "p", "p", " ", "a\x1fb"],
    )
    assert mapped.events.select("user_id", "anonymous_id").rows() == [("1", None), (None, "dev")]
    assert reasons(mapped) == {2: "missing_visitor", 3: "id_too_long", 4: "missing_item", 5: "bad_characters"}


def test_the_longest_product_id():
    mapped = apply({"item": "i"}, {}, i=["x" * 200, "x" * 201])
    assert mapped.events["product_id"].to_list() == ["x" * 200]
    assert reasons(mapped) == {1: "id_too_long"}


def test_types():
    mapped = apply(
        {"type": "k"},
        {"event_type": "", "types": {"Gekauft": "purchase"}},
        k=["view", "add_to_cart", "gekauft", "product_click", "dance", "identity_link"],
    )
    assert mapped.events["event_type"].to_list() == ["product_view", "cart_add", "purchase", "product_click"]
    assert reasons(mapped) == {4: "unknown_event_type", 5: "unknown_event_type"}


def test_money_is_exact():
    prices = ["2.555", "0.1", "12.345", "-1", "free", "1234567.89", None]
    mapped = apply({"price": "p"}, {"event_type": "purchase", "currency": "EUR"}, p=prices)
    assert mapped.events["unit_price"].to_list() == [256, 10, 1235, 123456789, None]
    assert mapped.events["currency"].to_list() == ["EUR"] * 4 + [None]
    assert reasons(mapped) == {3: "bad_price", 4: "bad_price"}
    mapped = apply({"price": "p", "currency": "c"}, {}, p=["1200", "1.234", "5"], c=["jpy", "KWD", "Euro"])
    assert mapped.events["unit_price"].to_list() == [1200, 1234]
    assert reasons(mapped) == {2: "bad_currency"}
    mapped = apply({"price": "p"}, {"decimal": ","}, p=["1.234,50"])
    assert mapped.events["unit_price"].to_list() == [123450]
    mapped = apply({"price": "p"}, {}, p=pl.Series([6.95, 0.1 + 0.2, float("nan")]))
    assert mapped.events["unit_price"].to_list() == [695, 30, None]


def test_a_line_total_stays_exact():
    columns = {"total": "p", "quantity": "q"}
    mapped = apply(columns, {"event_type": "purchase", "currency": "USD"}, p=["10.00", "29.33"], q=["3", "2"])
    assert mapped.events["unit_price"].to_list() == [333, 1467]
    assert mapped.events["data"].to_list() == ['{"total":1000}', '{"total":2933}']


def test_quantities():
    mapped = apply({"quantity": "q"}, {"event_type": "purchase"}, q=["2", "2.0", "", "1.5", "0", "-3", "many"])
    assert mapped.events["quantity"].to_list() == [2, 2, 1]
    assert set(reasons(mapped).values()) == {"bad_quantity"}
    assert sorted(reasons(mapped)) == [3, 4, 5, 6]


def test_cleaning_rules_are_counted_and_text_and_numbers_are_the_same():
    options = {
        "whole": frozenset({"user"}),
        "skip": {"cancelled": pl.col("i").str.starts_with("C")},
        "event_type": "purchase",
    }
    as_text = apply({}, dict(options), u=["17.0", "17.0"], i=["C1", "1"])
    as_float = apply({}, dict(options), u=pl.Series([17.0, 17.0]), i=["C1", "1"])
    assert as_text.skipped == as_float.skipped == {"cancelled": 1}
    assert as_text.events.equals(as_float.events)
    assert as_text.events["user_id"].to_list() == ["17"]


def test_further_columns():
    mapped = apply({"data.rating": "r", "data.lang": "l"}, {}, r=pl.Series([4]), l=["de"])
    assert mapped.events["data"].to_list() == ['{"lang":"de","rating":"4"}']


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"usr": "u"}, {}, "Did you mean user"),
        ({"user": "u", "item": "i"}, {}, "time=COLUMN"),
        ({"item": "i", "time": "t"}, {}, "anonymous=COLUMN"),
        (BASE, {"event_type": ""}, "--type"),
        (BASE, {"event_type": "product_veiw"}, "Did you mean product_view"),
        (BASE, {"event_type": "identity_link"}, "cannot|not an event type"),
        (BASE, {"timezone": "Berlin"}, "Europe/Berlin"),
        (BASE, {"currency": "euro"}, "ISO 4217"),
        (BASE, {"time_format": "epoch"}, "--time-format"),
        ({**BASE, "price": "p", "total": "q"}, {}, "not both"),
        ({"user": "u", "time": "t"}, {}, "item=COLUMN"),
    ],
)
def test_a_wrong_mapping_says_what_to_do(columns, options, message):
    with pytest.raises(ConfigError, match=message):
        ColumnMap(columns=columns, **{"event_type": "product_view", **options})


def test_pairs():
    assert parse_pairs(["user = id, item=sku", "time=t"], "--map") == {"user": "id", "item": "sku", "time": "t"}
    with pytest.raises(ConfigError, match="'user' is not such a pair"):
        parse_pairs(["user"], "--map")


def test_numbers_too_large_to_calculate_with_are_bad_rows_and_no_crash():
    columns = {"price": "p", "quantity": "q"}
    mapped = apply(columns, {"currency": "CLF"}, p=["1", "9" * 32, "1", "99999999999999"], q=["1", "1", "9" * 30, "1"])
    assert reasons(mapped) == {1: "bad_price", 2: "bad_quantity", 3: "bad_price"}
    assert mapped.events["unit_price"].to_list() == [10_000]  # CLF has four decimals


def test_the_place_of_the_lines_total_is_taken():
    with pytest.raises(ConfigError, match=r"data\.total"):
        ColumnMap(columns={**BASE, "total": "t", "data.total": "x"}, event_type="purchase")
