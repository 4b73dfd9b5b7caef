from collections import Counter
from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_models.data_collection.importer.spill import Spill

DAY = datetime(2024, 1, 1, tzinfo=UTC)


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, 300), st.sampled_from("abcdefgh")), max_size=200),
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(0, 5),
)
def test_every_row_in_one_unit_and_equal_rows_in_the_same(tmp_path_factory, rows, unit_rows, buffer_rows, skip):
    def spill():
        found = Spill(tmp_path_factory.mktemp("spill"), unit_rows=unit_rows, buffer_rows=buffer_rows)
        for start in range(0, len(rows), 7):
            part = rows[start : start + 7]
            times = [DAY + timedelta(days=day) for day, _ in part]
            frame = {"event_time": times, "x": [x for _, x in part]}
            found.add(pl.DataFrame(frame, schema={"event_time": pl.Datetime("us", "UTC"), "x": pl.String}))
        return found

    one = spill()
    assert one.rows == len(rows)
    units = [list(unit.rows()) for unit in one.units()]
    assert len(units) == sum(one.unit_sizes())
    assert Counter(row for unit in units for row in unit) == Counter((DAY + timedelta(days=d), x) for d, x in rows)
    where = [row for unit in units for row in set(unit)]
    assert len(where) == len(set(where))
    # A run that starts over finds the same commits, and leaves the first ones out.
    assert [Counter(unit.rows()) for unit in spill().units(skip)] == [Counter(unit) for unit in units[skip:]]
