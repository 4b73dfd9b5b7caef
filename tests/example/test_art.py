"""The drawn pictures."""

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shop.art import PATTERNS, SHAPES, Spec, draw

colours = st.text("0123456789abcdef", min_size=6, max_size=6)
specs = st.builds(
    Spec, st.sampled_from(sorted(SHAPES)), colours, colours, st.sampled_from(PATTERNS), st.integers(0, 999_999_999)
)


@given(specs)
def test_a_picture_is_small_well_formed_and_says_what_its_address_says(spec):
    text = draw(spec)
    root = ET.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(text) < 8_000
    assert Spec.parse(spec.slug()) == spec
    assert draw(spec) == text


@given(specs)
def test_a_picture_loads_nothing_and_runs_nothing(spec):
    text = draw(spec)
    assert "<script" not in text
    assert "href" not in text
    assert text.count("http") == 1  # the namespace


def test_two_products_of_a_shape_look_different():
    first, second = (draw(Spec("lamp", "8fa98a", "c8694a", "plain", seed)) for seed in (1, 2))
    assert first != second


@pytest.mark.parametrize(
    "slug", ["", "lamp", "lamp-8fa98a-c8694a-plain", "dragon-8fa98a-c8694a-plain-1", "lamp-8fa98a-c8694a-zebra-1"]
)
def test_an_address_that_names_no_picture_is_refused(slug):
    assert Spec.parse(slug) is None
