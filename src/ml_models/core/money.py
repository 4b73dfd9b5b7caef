"""Money as whole minor units of a currency, never as a float."""

from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal, InvalidOperation

__all__ = ["MAX_MINOR", "exponent", "pieces", "to_minor"]

MAX_MINOR = 2**53
"""Largest amount taken; minor units. Beyond it a JSON number loses units, and no shop sells anything at that price."""

_EXACT = 100_000.0
"""Amounts below it, times ten thousand, are computed with floats to far better than a millionth of a unit."""

# ISO 4217, currencies in circulation whose minor unit is not a hundredth.
_PLACES = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_EXPONENTS = {code: places for places, codes in _PLACES.items() for code in codes.split()}


def exponent(currency: str | None) -> int:
    """Decimal places of the currency's minor unit: 0 for JPY, 3 for KWD, 2 for most and for an unknown one."""
    return _EXPONENTS.get(currency or "", 2)


def to_minor(amount: Decimal | int | float | str, currency: str | None) -> int:
    """Minor units of an amount in major units: 99.99 EUR -> 9999, 1200 JPY -> 1200, 1.234 KWD -> 1234.

    Halves are rounded up, away from zero. A float is read by its shortest decimal text, so 99.99 means 99.99. Raises
    `ValueError` for what is no finite number or is beyond `MAX_MINOR`.
    """
    if type(amount) is float and 0 <= amount < _EXACT:
        # As below, at a fifth of the cost: within a millionth of a whole number of units, rounding cannot differ.
        units: float = amount * 10 ** exponent(currency)
        minor = round(units)
        if abs(units - minor) < 1e-6:
            return minor
    if isinstance(amount, bool):
        raise ValueError("an amount is a number, not a truth value")
    try:
        value = amount if isinstance(amount, Decimal) else Decimal(str(amount))
        if not value.is_finite() or value.adjusted() > 18 or "_" in str(amount):
            raise ValueError(f"{str(amount)[:40]!r} is not an amount of money")
        minor = int(value.scaleb(exponent(currency)).to_integral_value(ROUND_HALF_UP))
    except InvalidOperation as error:
        raise ValueError(f"{str(amount)[:40]!r} is not an amount of money") from error
    if abs(minor) > MAX_MINOR:
        raise ValueError(f"{str(amount)[:40]!r} is more than any shop's price")
    return minor


def pieces(quantity: Decimal) -> int:
    """Whole pieces that a quantity counts as, for the lake counts no others: 2.000 -> 2, 0.5 (of a kilogram) -> 1.

    Fractions are rounded away from zero. Who rounds here divides the price by it: half a kilogram is one piece at half
    the price of a kilogram.
    """
    count = int(abs(quantity).to_integral_value(ROUND_CEILING))
    return count if quantity >= 0 else -count
