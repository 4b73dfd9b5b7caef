"""Money is whole minor units; what is no amount is refused."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_models.core.money import exponent, pieces, to_minor


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        (99.99, "EUR", 9999),
        (1200, "JPY", 1200),
        ("1.234", "KWD", 1234),
        (Decimal("0.005"), None, 1),
        (Decimal("-0.005"), None, -1),
        (0.1 + 0.2, "USD", 30),
        ("1e3", "EUR", 100_000),
        (1200.5, "JPY", 1201),
    ],
)
def test_known_amounts(amount, currency, minor):
    assert to_minor(amount, currency) == minor


@pytest.mark.parametrize(
    ("quantity", "count"), [("2.000", 2), ("0.5", 1), ("2.5", 3), ("0", 0), ("-1", -1), ("-0.5", -1), ("1e3", 1000)]
)
def test_whole_pieces(quantity, count):
    assert pieces(Decimal(quantity)) == count


@pytest.mark.parametrize("amount", ["abc", "", "NaN", "inf", "-Infinity", "1e30", "1_000", True, float("nan"), 10**17])
def test_what_is_no_amount(amount):
    with pytest.raises(ValueError, match=r"amount|price"):
        to_minor(amount, "EUR")


@given(st.integers(-(10**14), 10**14), st.sampled_from(["EUR", "JPY", "KWD", "CLF", None, "XXX"]))
def test_every_minor_unit_survives(minor, currency):
    assert to_minor(Decimal(minor).scaleb(-exponent(currency)), currency) == minor
