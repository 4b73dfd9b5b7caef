# ruff: noqa: E501  (tables)
"""Which category a gift wholesaler's product belongs to, by the words of its description. Data and one function."""

from __future__ import annotations

import re

__all__ = ["DEPARTMENTS", "categorise", "picture_of", "shop_name"]

# (department, ((category, drawing, words), ...)). The first category with one of its words in the description wins, so
# what a thing is comes before what it is decorated with.
_TABLE = (
    ("Christmas & Easter", (
        ("Christmas", "ornament", "CHRISTMAS XMAS BAUBLE SANTA REINDEER SNOWFLAKE NOEL ADVENT"),
        ("Easter", "ornament", "EASTER EGG EGGS"),
    )),
    ("Party", (
        ("Bunting & garlands", "bunting", "BUNTING GARLAND GARLANDS"),
        ("Napkins & paper plates", "paperchain", "NAPKINS NAPKIN DOILIES STRAWS"),
        ("Balloons & candles for cakes", "cakestand", "BALLOON BALLOONS PARTY BIRTHDAY CONFETTI"),
    )),
    ("Candles & lighting", (
        ("T-light holders", "lantern", "T-LIGHT T-LIGHTS TLIGHT CANDLEHOLDER CANDLESTICK VOTIVE NIGHTLIGHT"),
        ("Candles & incense", "candle", "CANDLE CANDLES INCENSE BURNER SCENTED"),
        ("Lanterns", "lantern", "LANTERN LANTERNS"),
        ("Lights & lamps", "fairylights", "LIGHTS LIGHT LAMP CHANDELIER LAMPSHADE SHADE"),
    )),
    ("Bags", (
        ("Lunch & jumbo bags", "backpack", "LUNCH JUMBO"),
        ("Shopping bags", "handbag", "BAG BAGS SHOPPER TOTE HOLDALL RUCKSACK SATCHEL"),
        ("Purses & wallets", "handbag", "PURSE WALLET PASSPORT LUGGAGE"),
    )),
    ("Jewellery", (
        ("Necklaces", "jewellery", "NECKLACE PENDANT LARIAT"),
        ("Bracelets", "jewellery", "BRACELET BANGLE"),
        ("Earrings & rings", "jewellery", "EARRINGS EARRING RING BROOCH"),
        ("Charms & hair", "jewellery", "CHARM CHARMS HAIR SLIDES HAIRBAND KEYRING KEY-RING"),
    )),
    ("Textiles", (
        ("Cushions", "cushion", "CUSHION PILLOW"),
        ("Throws & quilts", "throw", "THROW QUILT BLANKET"),
        ("Aprons & towels", "towel", "APRON TOWEL TOWELS FLANNEL GLOVE MITT COSY"),
        ("Rugs & mats", "rug", "RUG MAT"),
        ("Doormats", "doormat", "DOORMAT DOOR-MAT"),
        ("Hats & scarves", "scarf", "SCARF HAT SLIPPERS SLIPPER SOCK SOCKS PONCHO"),
        ("Umbrellas", "umbrella", "UMBRELLA PARASOL"),
        ("Hot water bottles", "warmer", "WARMER"),
    )),
    ("Kitchen & baking", (
        ("Cake stands & tins", "cakestand", "CAKESTAND CAKE CAKES BAKING CUPCAKE MOULD RECIPE"),
        ("Storage jars & tins", "tin", "TIN TINS JAR JARS CANISTER PANTRY CADDY"),
        ("Pots & pans", "pan", "PAN SAUCEPAN POT CASSEROLE COLANDER SIEVE WHISK SCALES"),
        ("Boards & trays", "board", "TRAY TRAYS BOARD COASTERS COASTER PLACEMATS PLACEMAT"),
        ("Teapots & jugs", "teapot", "TEAPOT JUG TEACOSY"),
    )),
    ("Table", (
        ("Mugs & cups", "mug", "MUG MUGS CUP CUPS SAUCER BEAKER BEAKERS TEACUP"),
        ("Plates & dishes", "plate", "PLATE PLATES DISH DISHES SAUCER"),
        ("Bowls", "bowl", "BOWL BOWLS"),
        ("Glasses & bottles", "glass", "GLASSES GOBLET TUMBLER DECANTER BOTTLE BOTTLES WINE"),
        ("Cutlery", "cutlery", "CUTLERY SPOON SPOONS FORK KNIFE TONGS SERVERS"),
    )),
    ("Stationery", (
        ("Cards", "card", "CARD CARDS POSTCARD STICKERS STICKER TATTOOS TAGS"),
        ("Gift wrap & ribbons", "giftwrap", "WRAP RIBBON RIBBONS TISSUE TAPE PAPER CHAIN"),
        ("Notebooks & albums", "notebook", "NOTEBOOK NOTEBOOKS BOOK JOURNAL ALBUM DIARY PAD PLANNER CALENDAR"),
        ("Pens & pencils", "pen", "PEN PENS PENCIL PENCILS CRAYONS CHALK CHALKS RUBBER ERASER STAMP SHARPENER"),
        ("Craft & sewing", "organiser", "SEWING KNITTING FELTCRAFT SCISSORS CRAFT MEASURE DECOUPAGE BUTTONS PINS"),
    )),
    ("Toys", (
        ("Soft toys & dolls", "softtoy", "TEDDY BEAR DOLL DOLLS RABBIT BUNNY SOFT PUPPET DOLLCRAFT MONKEY"),
        ("Games & puzzles", "puzzle", "GAME GAMES PUZZLE PUZZLES JIGSAW PLAYING SNAKES DOMINOES NOUGHTS SKIPPING"),
        ("Toys", "toycar", "TOY TOYS CAR TRAIN SOLDIER SPACEBOY HELICOPTER WHEELBARROW TRUMPET WHISTLE"),
        ("Blocks & letters", "blocks", "BLOCK BLOCKS LETTER LETTERS ALPHABET NUMBER TILE"),
    )),
    ("Garden", (
        ("Plants & flowers", "plant", "FLOWER FLOWERS PLANT ARTIFICIAL LAVENDER HYDRANGEA BOUQUET TREE CACTUS"),
        ("Planters & vases", "planter", "PLANTER VASE FLOWERPOT URN POTS"),
        ("Watering & tools", "wateringcan", "WATERING GARDEN GARDENING TROWEL SPADE SEEDS KNEELING"),
        ("Birds", "birdhouse", "BIRD BIRDS BIRDHOUSE BIRDCAGE FEEDER NESTING"),
        ("Picnic & outings", "basket", "PICNIC HAMMOCK DECKCHAIR BEACH FISHING"),
    )),
    ("Home", (
        ("Clocks", "clock", "CLOCK CLOCKS"),
        ("Frames & mirrors", "frame", "FRAME FRAMES MIRROR MIRRORS PICTURE PHOTO PRINT CANVAS"),
        ("Signs", "sign", "SIGN SIGNS PLAQUE CHALKBOARD MEMO WALL"),
        ("Hooks & knobs", "hook", "HOOK HOOKS HANGER KNOB KNOBS DOORSTOP DRAWER COAT"),
        ("Magnets & stickers", "organiser", "MAGNETS MAGNET"),
        ("Boxes & baskets", "basket", "BASKET BASKETS BOX BOXES TRINKET CRATE TRUNK TIDY STORAGE"),
        ("Furniture", "stool", "CABINET STOOL CHAIR TABLE SHELF SHELVES STAND RACK SIDEBOARD LADDER"),
        ("Soap & bath", "soap", "SOAP BATH BATHROOM SPONGE SHOWER BATHROBE"),
        ("Hearts & ornaments", "ornament", "HEART HEARTS WICKER DECORATION DECORATIONS ORNAMENT STAR ANGEL HANGING WREATH"),
    )),
    ("Curiosities", (("Curiosities", "giftwrap", ""),)),
)  # fmt: skip

DEPARTMENTS = tuple((name, tuple((category, shape) for category, shape, _ in rows)) for name, rows in _TABLE)
"""Department -> its categories with their drawings."""

_BY_WORD: dict[str, tuple[int, str, str]] = {}
for _rank, (_category, _shape, _words) in enumerate(row for _, rows in _TABLE for row in rows):
    for _word in _words.split():
        _BY_WORD.setdefault(_word, (_rank, _category, _shape))

_COLOURS = {
    "PINK": "e39aab", "RED": "c63d3d", "BLUE": "5b8fc0", "WHITE": "f4f1ea", "GREEN": "6a9a63", "BLACK": "37363c",
    "IVORY": "f1e8d2", "CREAM": "f0e4cc", "SILVER": "aab2b8", "GOLD": "d0a64b", "PURPLE": "7d5a92", "YELLOW": "ecc74e",
    "BROWN": "8a6a4f", "ORANGE": "e48a4a", "TURQUOISE": "4fb0ae", "LILAC": "b7a4d3", "GREY": "8d9299", "ZINC": "9aa5ae",
    "AQUA": "7cc4c4", "MINT": "a9d6c2", "NATURAL": "d8c3a0", "WOODEN": "b98a5e", "WOOD": "b98a5e", "RETROSPOT": "c63d3d",
    "ROSE": "d4788f", "LAVENDER": "a493cf", "CHOCOLATE": "6f4a37", "AMBER": "d9912f", "RUBY": "a8324f",
}  # fmt: skip
_ANY = ("8fa98a", "c8694a", "e0a93b", "27395c", "8fb8d8", "e8b7b0", "6d3b5e", "d8c3a0", "2e8b8b", "b7a4d3", "a8324f")
_PATTERNS = {
    "POLKADOT": "dots", "SPOT": "dots", "SPOTTY": "dots", "RETROSPOT": "dots", "SPOTS": "dots", "DOTS": "dots",
    "STRIPE": "stripes", "STRIPES": "stripes", "STRIPED": "stripes", "GINGHAM": "check", "CHECK": "check",
    "TARTAN": "check", "PAISLEY": "leaves", "FLORAL": "leaves", "BLOSSOM": "leaves", "LEAF": "leaves", "ROSE": "leaves",
    "WAVE": "waves", "DIAMOND": "diamonds", "HARLEQUIN": "diamonds", "ZINC": "speckle", "ENAMEL": "speckle",
}  # fmt: skip


def _words(description: str) -> list[str]:
    return re.findall(r"[A-Z][A-Z\-]*[A-Z]|[A-Z]", description.upper())


def categorise(description: str) -> tuple[str, str]:
    """Category and drawing of a description."""
    found = [_BY_WORD[word] for word in _words(description) if word in _BY_WORD]
    if not found:
        return "Curiosities", "giftwrap"
    if "HOT" in description and "BOTTLE" in description:
        return "Hot water bottles", "warmer"
    return min(found)[1:]


def picture_of(description: str, shape: str, seed: int) -> str:
    """The picture's address: colours and pattern from the description's words, else from the seed."""
    words = _words(description)
    named = [_COLOURS[word] for word in words if word in _COLOURS]
    spare = [_ANY[seed % 11], _ANY[seed // 11 % 11], _ANY[seed // 121 % 11], "f0e4cc"]
    colours = list(dict.fromkeys(named + spare))
    pattern = next((_PATTERNS[word] for word in words if word in _PATTERNS), "plain")
    return f"{shape}-{colours[0]}-{colours[1]}-{pattern}-{seed % 10**6}"


def shop_name(description: str) -> str:
    """`RED RETROSPOT TEA CUP AND SAUCER` -> `Red retrospot tea cup and saucer`."""
    return re.sub(r"\s+", " ", description).strip(" .,").capitalize()
