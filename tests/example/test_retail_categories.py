"""Categories, pictures and names from a wholesaler's descriptions."""

import pytest
from shop.art import Spec
from simulation.retail_categories import DEPARTMENTS, categorise, picture_of, shop_name


@pytest.mark.parametrize(
    ("description", "category"),
    [
        ("WHITE HANGING HEART T-LIGHT HOLDER", "T-light holders"),
        ("RED RETROSPOT TEA CUP AND SAUCER", "Mugs & cups"),
        ("JUMBO BAG DOLLY GIRL DESIGN", "Lunch & jumbo bags"),
        ("PINK SPOTTY CHILDS UMBRELLA", "Umbrellas"),
        ("BROWN FURRY HOT WATER BOTTLE", "Hot water bottles"),
        ("GIANT 50'S CHRISTMAS CRACKER", "Christmas"),
        ("XYLOPHONE OF MYSTERY", "Curiosities"),
    ],
)
def test_a_description_finds_its_category(description, category):
    assert categorise(description)[0] == category


def test_every_category_has_a_drawing_that_exists():
    for _, held in DEPARTMENTS:
        for name, shape in held:
            assert Spec.parse(picture_of(name, shape, 12345))


def test_colour_and_pattern_come_from_the_words():
    picture = Spec.parse(picture_of("BLUE POLKADOT MUG", "mug", 99))
    assert (picture.main, picture.pattern) == ("5b8fc0", "dots")


def test_names_read_like_names():
    assert shop_name("  RED  RETROSPOT CUP. ") == "Red retrospot cup"
