"""The grammar, on rows without a database."""

from decimal import Decimal
from types import SimpleNamespace as Row

import pytest
from django.core.exceptions import ObjectDoesNotExist
from hypothesis import given
from hypothesis import strategies as st

from ml_models.adapters.catalogue.expressions import ExpressionError, parse
from ml_models.core.errors import CatalogueError


def read(spec, row, **options):
    return parse(spec, **options).evaluate(row)


class Shirt:
    name = "Shirt"
    category = Row(name="Clothes", parent=None)
    variants = [Row(price=Decimal("7.00"), stock=0), Row(price=Decimal("5.00"), stock=-1), Row(price=None, stock=2)]
    tags = ["new", "", None, "blue"]
    data = {"colour": "red", "sizes": ["S", "L"]}
    empty = ""
    zero = 0

    def get_size_display(self):
        return "Large"

    def delete(self):
        raise AssertionError("must never be called")

    delete.alters_data = True

    def broken(self):
        raise RuntimeError("a bug of the shop")

    @property
    def missing(self):
        raise ObjectDoesNotExist

    @property
    def careless(self):
        return self.category.parent.name

    @property
    def no_file(self):
        raise ValueError("The 'image' attribute has no file associated with it.")


def upper(row):
    return row.name.upper()


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        ("name", "Shirt"),
        ("category.name", "Clothes"),
        ("category.parent.name", None),
        ("get_size_display", "Large"),
        ("missing", None),
        ("missing.name", None),
        ("careless", None),
        ("no_file", None),
        ("data.colour", "red"),
        ("data.nothing", None),
        ("data.sizes[]", ["S", "L"]),
        ("data.sizes[0]", "S"),
        ("tags[]", ["new", "blue"]),
        ("tags[0]", "new"),
        ("variants[0].price", Decimal("7.00")),
        ("variants[].price", [Decimal("7.00"), Decimal("5.00")]),
        ("min(variants[].price)", Decimal("5.00")),
        ("max(variants[].price)", Decimal("7.00")),
        ("sum(variants[].price)", Decimal("12.00")),
        ("count(variants[])", 3),
        ("any(variants[].stock)", True),
        ("any(tags[])", True),
        ("join(tags[])", "new, blue"),
        ("join(tags[], ' / ')", "new / blue"),
        ('join(tags[], ", and ")', "new, and blue"),
        ("min(data.none[])", None),
        ("join(data.none[])", None),
        ("sum(data.none[])", 0),
        (["empty", "missing", "name"], "Shirt"),
        (["zero", "name"], 0),
        (["empty", "missing"], None),
        ({"value": "EUR"}, "EUR"),
        ({"value": None}, None),
        ({"in": "name", "out": "zero"}, "Shirt"),
        (f"call:{__name__}.upper", "SHIRT"),
        (upper, "SHIRT"),
        (["empty", {"value": "x"}], "x"),
    ],
)
def test_the_grammar(spec, value):
    assert read(spec, Shirt()) == value


def test_tax_chooses_between_two_prices():
    row = Row(gross=12, net=10)
    spec = {"in": "gross", "out": "net"}
    assert (read(spec, row), read(spec, row, tax="out")) == (12, 10)


def test_a_negative_stock_is_no_stock():
    assert read("any(variants[].stock)", Row(variants=[Row(stock=-3), Row(stock=0)])) is False


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("", "no path"),
        ("a..b", "no path"),
        ("a[1]", "no path"),
        ("a b", "no path"),
        ("median(prices[])", "none of min, max"),
        ([], "empty list"),
        ({"vaule": 1}, "literal"),
        (7, "{'value': 7}"),
        (None, "no expression"),
        ("call:nowhere.to.be.found", "cannot be imported"),
        ("call:os.sep", "not a function"),
    ],
)
def test_what_is_no_expression_is_refused_with_the_way_to_write_it(spec, words):
    with pytest.raises(ExpressionError, match="(?s)" + words.replace("{", r"\{").replace("}", r"\}")):
        parse(spec)


@pytest.mark.parametrize("spec", ["nmae", "delete", "broken", "category.colour", "zero[]", ["empty", "nmae"]])
def test_what_cannot_be_read_names_path_and_row(spec):
    with pytest.raises(CatalogueError, match=r"ML_CATALOG path .* Shirt"):
        read(spec, Shirt())


def test_methods_that_change_data_are_never_called():
    with pytest.raises(CatalogueError, match="changes data"):
        read("delete", Shirt())


@given(st.text("ab.[]0_ 1", max_size=12))
def test_any_text_is_a_path_that_reads_back_or_is_refused(text):
    try:
        path = parse(text)
    except ExpressionError as error:
        assert "no path" in str(error)
    else:
        assert str(path) == text.strip()
