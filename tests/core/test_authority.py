"""Which copy of a view is read."""

import polars as pl

from ml_models.core.authority import drop_shadowed


def test_copies_go_where_the_trackers_row_arrived():
    rows = [
        ("a", "page_view", "js", "v1"),
        ("b", "page_view", "middleware", "v1"),  # a copy of a
        ("c", "product_view", "middleware", "v1"),  # the tracker sent no product view of v1
        ("d", "product_view", "js", "v2"),
        ("e", "product_view", "middleware", "v2"),  # a copy of d
        ("f", "product_view", "server", "v2"),  # a copy of d
        ("g", "page_view", "middleware", "v3"),  # no script ran
        ("h", "page_view", "middleware", None),
        ("i", "cart_add", "server", "v2"),  # only views come twice
        ("j", "product_view", "js", "v2"),  # a second view under one id: rows of the tracker all count
        ("k", "product_view", "import", None),
        ("l", "page_view", "js", None),
        ("m", "product_view", "server", "v2", "8"),  # the script told of product 7 alone
    ]
    rows = [row if len(row) == 5 else (*row, "7" if row[1] == "product_view" else None) for row in rows]
    frame = pl.DataFrame(rows, schema=["event_id", "event_type", "source", "page_view_id", "product_id"], orient="row")
    kept = drop_shadowed(frame.lazy()).collect()
    assert sorted(kept["event_id"]) == list("acdghijklm")
    assert kept.columns == frame.columns
