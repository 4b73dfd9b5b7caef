"""Cancellations of the wholesaler's invoices find their purchases."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import polars as pl
from simulation.retail_orders import RetailLine, RetailOrder, group, read, take_back

DAY = datetime(2011, 3, 1, tzinfo=UTC)


def order(number, days, *lines):
    held = [RetailLine(code, quantity, Decimal("1.25")) for code, quantity in lines]
    return RetailOrder(number, 7, DAY + timedelta(days=days), held)


def taken(orders):
    return [[line.cancelled for line in one.lines] for one in orders]


def test_a_cancellation_takes_back_the_newest_earlier_purchase_and_goes_on_to_older_ones():
    orders = [order("1", 0, ("A", 5)), order("2", 2, ("A", 3), ("B", 1)), order("3", 9, ("A", 9))]
    assert take_back(orders, [(7, "A", 4, DAY + timedelta(days=5))]) == 1
    assert taken(orders) == [[1], [3, 0], [0]]


def test_what_was_taken_back_once_is_not_taken_back_again():
    orders = [order("1", 0, ("A", 5))]
    late = DAY + timedelta(days=1)
    assert take_back(orders, [(7, "A", 4, late), (7, "A", 4, late)]) == 2
    assert taken(orders) == [[5]]


def test_a_cancellation_of_somebody_else_or_of_nothing_changes_nothing():
    orders = [order("1", 0, ("A", 5))]
    late = DAY + timedelta(days=1)
    assert take_back(orders, [(8, "A", 1, late), (7, "B", 1, late), (7, "A", 1, DAY - timedelta(days=1))]) == 0
    assert taken(orders) == [[0]]


def test_reading_keeps_known_customers_products_and_their_cancellations(tmp_path):
    rows = [
        ("100", "85048", 2, 1.50, 7.0),
        ("100", "85048", 4, 1.20, 7.0),  # the same product again: one line at the mean price
        ("100", "POST", 1, 18.0, 7.0),
        ("101", "85048", 1, 1.50, None),
        ("102", "79323w", 1, 0.0, 7.0),
        ("C103", "85048", -3, 1.50, 7.0),
    ]
    pl.DataFrame(
        {
            "InvoiceNo": [row[0] for row in rows],
            "StockCode": [row[1] for row in rows],
            "Description": ["GLASS BALL"] * len(rows),
            "Quantity": [row[2] for row in rows],
            "InvoiceDate": [datetime(2010, 1, 1, 9, minute) for minute in range(len(rows))],
            "UnitPrice": [row[3] for row in rows],
            "CustomerID": [row[4] for row in rows],
        }
    ).write_parquet(tmp_path / "invoices.parquet")
    bought, cancelled = read(tmp_path)
    (only,) = group(bought)
    assert (only.number, only.customer, only.when) == ("100", 7, datetime(2010, 1, 1, 9, 0, tzinfo=UTC))
    assert only.lines == [RetailLine("85048", 6, Decimal("1.3"))]
    assert cancelled.rows() == [(7, "85048", 3, datetime(2010, 1, 1, 9, 5))]
