"""From what a shop's models hold to what the ports promise: text, money, moments, ids, guests."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.core.signing import Signer
from django.db import connections
from django.db.models import Field, FloatField, IntegerField, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.db.models.fields.files import FieldFile
from django.utils import timezone
from django.utils.crypto import salted_hmac

__all__ = [
    "IdCodec",
    "guest_key",
    "guest_keys",
    "to_bool",
    "to_column",
    "to_date_time",
    "to_decimal",
    "to_json",
    "to_text",
    "to_texts",
    "to_url",
]


def to_text(value: Any) -> str:
    """Text of one value; several are joined with a comma; None is empty."""
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(to_text(v) for v in value)
    return str(value).strip()


def to_texts(value: Any) -> tuple[str, ...]:
    """Distinct non-empty texts in the order given."""
    values: Iterable[Any] = value if isinstance(value, list | tuple | set | frozenset) else [value]
    return tuple(dict.fromkeys(text for text in map(to_text, values) if text))


def to_url(value: Any) -> str:
    """Text, or the `.url` of a file field."""
    return str(value.url) if isinstance(value, FieldFile) and value else to_text(value)


def to_decimal(value: Any) -> Decimal | None:
    """Money as Decimal: a Decimal stays, an object with `amount` gives it, a float goes through its shortest text.

    None where there is nothing or it is not a finite number.
    """
    if value is None or isinstance(value, bool):
        return None
    amount = getattr(value, "amount", value)
    try:
        number = amount if isinstance(amount, Decimal) else Decimal(str(amount))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def to_bool(value: Any) -> bool:
    """Stock as yes or no: numbers are yes above zero, nothing is no."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float | Decimal):
        return value > 0
    return bool(value)


def to_date_time(value: Any) -> datetime | None:
    """Aware UTC; a naive time and a plain date are in the shop's TIME_ZONE; Unix seconds are taken as such."""
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, date):
        moment = datetime.combine(value, time.min)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    else:
        return None
    if timezone.is_naive(moment):
        moment = timezone.make_aware(moment, timezone.get_default_timezone())
    return moment.astimezone(UTC)


def to_column(moment: datetime, rows: QuerySet[Any], lookup: str) -> datetime | float:
    """An aware moment as a filter of `rows` takes it: the way back of `to_date_time`.

    Naive in the shop's TIME_ZONE where `USE_TZ` is False, and Unix seconds for a column of numbers.
    """
    model, field = rows.model, None
    try:
        for name in lookup.split(LOOKUP_SEP):
            field = model._meta.pk if name == "pk" else model._meta.get_field(name)
            model = getattr(field, "related_model", None) or model
    except FieldDoesNotExist:  # an annotation
        field = None
    if isinstance(field, IntegerField | FloatField):
        return moment.timestamp() if isinstance(field, FloatField) else int(moment.timestamp())
    # A connection has no time zone where USE_TZ is False.
    if connections[rows.db].timezone is None:
        return timezone.make_naive(moment, timezone.get_default_timezone())
    return moment


def to_json(value: Any) -> Any:
    """A value JSON can hold: numbers stay, Decimal becomes text, lists and dicts go inside, the rest is text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, FieldFile):
        return to_url(value)
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json(v) for v in value]
    if isinstance(value, datetime):
        moment = to_date_time(value)
        return None if moment is None else moment.isoformat()
    return str(value)


def guest_key(email: Any) -> str | None:
    """Keyed hash of an e-mail address: HMAC-SHA256 under a key derived from SECRET_KEY, 32 hexadecimal digits.

    The address is normalised first (Unicode NFKC, no spaces around, lower case), so that one guest is one key. The
    address itself goes no further. A new SECRET_KEY makes new keys.
    """
    keys = guest_keys(email)
    return keys[0] if keys else None


def guest_keys(email: Any) -> list[str]:
    """`guest_key` under `SECRET_KEY` and then under each of `SECRET_KEY_FALLBACKS`; none without an address."""
    normal = unicodedata.normalize("NFKC", str(email or "")).strip().casefold()
    if not normal:
        return []
    signer = Signer()
    return [
        salted_hmac("ml_models.guest", normal, secret=secret, algorithm="sha256").hexdigest()[:32]
        for secret in (signer.key, *signer.fallback_keys)
    ]


class IdCodec:
    """Ids of one column as strings and back. What cannot be an id of the column is ignored, never raised."""

    def __init__(self, field: Field[Any, Any], using: str) -> None:
        # A foreign key's values are those of the column it points to.
        while field.remote_field is not None and getattr(field, "target_field", None) is not None:
            field = field.target_field  # type: ignore[attr-defined]
        self._field = field
        self.integer = isinstance(field, IntegerField)
        self._range: tuple[int | None, int | None] = (None, None)
        if self.integer:
            self._range = connections[using].ops.integer_field_range(field.get_internal_type())

    def parse(self, text: str) -> Any:
        """The column's value of an id, None where the text cannot be one."""
        if self.integer:
            # The short way for the usual key: int() would also take ' 7', '1_0' and digits of other scripts.
            if not (text.isascii() and text.removeprefix("-").isdigit()):
                return None
            try:
                number = int(text)
            except ValueError:  # more digits than Python converts
                return None
            low, high = self._range
            return None if (low is not None and number < low) or (high is not None and number > high) else number
        if "\x00" in text:  # PostgreSQL takes no NUL in a text
            return None
        try:
            text.encode()
            return self._field.to_python(text)
        except (ValidationError, ValueError, TypeError, OverflowError, InvalidOperation):
            return None

    def parse_all(self, texts: Iterable[str]) -> list[Any]:
        """Values of those texts that can be ids, each once."""
        parse = self.parse
        return [value for value in map(parse, dict.fromkeys(texts)) if value is not None]

    @staticmethod
    def text(value: Any) -> str:
        """The id as every port carries it."""
        return str(value)
