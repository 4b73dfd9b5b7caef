"""What the generated shop sells: departments, categories, colours, brands. Data only."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["COLOURS", "DEPARTMENTS", "STYLES", "CategorySpec"]

COLOURS = {
    "sage": "8fa98a", "forest": "2f5d50", "terracotta": "c8694a", "mustard": "e0a93b", "navy": "27395c",
    "sky": "8fb8d8", "blush": "e8b7b0", "plum": "6d3b5e", "charcoal": "3d4147", "sand": "d8c3a0", "cream": "f0e4cc",
    "coral": "ee7f6b", "teal": "2e8b8b", "lilac": "b7a4d3", "berry": "a8324f", "olive": "7a7a3c", "rust": "a94f2d",
    "ivory": "f7f0df", "slate": "66758a", "denim": "4a6d96", "moss": "66773f", "honey": "d9a441", "rose": "d4788f",
    "mint": "a9d6c2", "oat": "d9cbb2", "walnut": "7a5640", "poppy": "d9412f", "ink": "2c2f4a", "fern": "4f8a5b",
    "peach": "f2b48a",
}  # fmt: skip

STYLES = {
    "natural": ("sage", "forest", "sand", "oat", "olive", "moss", "walnut", "cream", "fern", "terracotta"),
    "classic": ("navy", "charcoal", "ivory", "slate", "denim", "berry", "ink", "cream", "walnut"),
    "bright": ("mustard", "coral", "teal", "poppy", "sky", "mint", "honey", "fern", "rose"),
    "soft": ("blush", "lilac", "sky", "mint", "cream", "rose", "peach", "oat", "plum"),
}
"""Style -> colours that go with it. A product has one style; so do shoppers."""

STYLE_PATTERNS = {
    "natural": ("plain", "plain", "speckle", "leaves"),
    "classic": ("plain", "plain", "stripes", "check"),
    "bright": ("plain", "dots", "diamonds", "stripes", "waves"),
    "soft": ("plain", "plain", "dots", "waves", "speckle"),
}


@dataclass(frozen=True)
class CategorySpec:
    name: str
    shape: str
    """Name of the drawing."""
    nouns: tuple[str, ...]
    prices: tuple[float, float]
    """Cheapest and dearest; EUR."""
    materials: tuple[str, ...]
    brands: tuple[str, ...]
    season: int = 0
    """Month in which it sells best, 0 for none."""
    choice: tuple[str, ...] = ()
    """Names of its variants."""
    choice_name: str = "Size"


@dataclass(frozen=True)
class DepartmentSpec:
    name: str
    blurb: str
    brands: tuple[str, ...]
    categories: tuple[CategorySpec, ...]


_EU = ("38", "39", "40", "41", "42", "43", "44")
_SML = ("XS", "S", "M", "L", "XL")


def _department(name: str, blurb: str, brands: str, *rows: tuple) -> DepartmentSpec:
    made = tuple(brands.split(", "))
    return DepartmentSpec(
        name,
        blurb,
        made,
        tuple(
            CategorySpec(row[0], row[1], tuple(row[2].split(", ")), row[3], tuple(row[4].split(", ")), made, *row[5:])
            for row in rows
        ),
    )


DEPARTMENTS = (
    _department(
        "Shoes",
        "From the first mile to the last metre of the sofa.",
        "Fjordlauf, Talla, Harrow & Sole, Pico, Nordstep",
        (
            "Trainers",
            "trainer",
            "Trainers, Low trainers, Court shoes",
            (45, 160),
            "leather, canvas, suede, recycled mesh",
            4,
            _EU,
        ),
        (
            "Running shoes",
            "runner",
            "Running shoes, Trail runners, Racing flats",
            (70, 210),
            "mesh, knit, ripstop",
            4,
            _EU,
        ),
        ("Boots", "boot", "Boots, Lace-up boots, Winter boots", (80, 260), "leather, nubuck, waxed leather", 11, _EU),
        (
            "Sandals",
            "sandal",
            "Sandals, Strap sandals, Cork sandals",
            (30, 110),
            "leather, cork, vegan leather",
            6,
            _EU,
        ),
        ("Slippers", "slipper", "Slippers, Clogs, House shoes", (18, 70), "felt, wool, boiled wool", 12, _EU),
    ),
    _department(
        "Clothing",
        "Clothes to live in, made to be kept.",
        "Aldermoor, Lind & Lau, Kesto, Maren, Saltway",
        ("T-shirts", "tshirt", "T-shirt, Boxy tee, Pocket tee", (15, 55), "cotton, organic cotton, linen", 6, _SML),
        ("Shirts", "shirt", "Shirt, Overshirt, Collar shirt", (35, 120), "cotton, linen, flannel, poplin", 0, _SML),
        (
            "Jumpers",
            "jumper",
            "Jumper, Crew-neck jumper, Cardigan",
            (45, 180),
            "wool, merino, lambswool, cotton",
            11,
            _SML,
        ),
        ("Jackets", "jacket", "Jacket, Chore jacket, Rain jacket", (80, 320), "waxed cotton, wool, canvas", 10, _SML),
        ("Dresses", "dress", "Dress, Summer dress, Wrap dress", (50, 190), "linen, cotton, viscose", 6, _SML),
        (
            "Trousers",
            "trousers",
            "Trousers, Chinos, Work trousers",
            (45, 150),
            "cotton twill, linen, corduroy",
            0,
            _SML,
        ),
    ),
    _department(
        "Accessories",
        "The last thing you put on, the first thing one sees.",
        "Ostrea, Pilgrim Lane, Tove, Marchmont, Kindling",
        (
            "Backpacks",
            "backpack",
            "Backpack, Daypack, Roll-top backpack",
            (45, 190),
            "canvas, recycled nylon, waxed cotton",
            8,
        ),
        ("Handbags", "handbag", "Handbag, Tote, Shoulder bag", (60, 280), "leather, canvas, suede"),
        ("Hats", "hat", "Hat, Brimmed hat, Knitted hat", (18, 85), "wool, felt, cotton", 1),
        ("Scarves", "scarf", "Scarf, Winter scarf, Long scarf", (20, 120), "wool, cashmere, lambswool, alpaca", 12),
        ("Watches", "watch", "Watch, Field watch, Day watch", (90, 420), "steel, titanium, brass"),
        ("Sunglasses", "sunglasses", "Sunglasses, Round sunglasses", (35, 170), "acetate, bio-acetate", 6),
        ("Jewellery", "jewellery", "Necklace, Bead necklace, Pendant necklace", (25, 180), "silver, glass, brass", 12),
    ),
    _department(
        "Kitchen",
        "Tools for cooks who use them every day.",
        "Ember & Oak, Kitchen No. 9, Hollis, Ferrum, Brunnen",
        ("Mugs", "mug", "Mug, Tall mug, Espresso mug", (9, 38), "stoneware, porcelain, enamel, earthenware"),
        ("Pans", "pan", "Pan, Saucepan, Casserole", (35, 240), "cast iron, steel, copper, enamel"),
        (
            "Kitchen knives",
            "knife",
            "Chef's knife, Paring knife, Bread knife",
            (20, 190),
            "steel, damascus steel, carbon steel",
        ),
        ("Teapots", "teapot", "Teapot, Small teapot, Round teapot", (25, 110), "porcelain, stoneware, cast iron"),
        ("Storage jars", "jar", "Storage jar, Jar, Tea jar", (8, 45), "glass, stoneware"),
        (
            "Cutting boards",
            "board",
            "Cutting board, Serving board, Bread board",
            (15, 95),
            "oak, walnut, beech, olive wood",
        ),
    ),
    _department(
        "Table",
        "Set it for one or for twelve.",
        "Maison Perle, Hollis, Ljus, Terra Nova, Field Table",
        ("Plates", "plate", "Dinner plate, Side plate, Plate", (8, 48), "stoneware, porcelain, earthenware"),
        ("Bowls", "bowl", "Bowl, Serving bowl, Breakfast bowl", (9, 70), "stoneware, porcelain, oak"),
        ("Glasses", "glass", "Glass, Wine glass, Tumbler", (6, 42), "glass, crystal, recycled glass"),
        ("Cutlery", "cutlery", "Cutlery set, Salad servers, Dessert cutlery", (25, 220), "steel, brass, beech"),
        ("Table linen", "linen", "Napkins, Tablecloth, Table runner", (12, 110), "linen, cotton, washed linen", 12),
    ),
    _department(
        "Furniture",
        "Fewer pieces, better ones.",
        "Nordholm, Bauwerk, Casa Lenta, Timbermill, Oslo Form",
        ("Chairs", "chair", "Chair, Dining chair, Armchair", (90, 480), "oak, beech, ash, bentwood"),
        ("Tables", "table", "Table, Side table, Desk", (120, 980), "oak, walnut, ash"),
        ("Shelves", "shelf", "Shelf, Bookcase, Display shelf", (110, 760), "oak, birch, steel"),
        ("Sofas", "sofa", "Sofa, Two-seater, Loveseat", (480, 2400), "linen, wool, corduroy, velvet"),
        ("Stools", "stool", "Stool, Bar stool, Milking stool", (45, 260), "oak, pine, beech"),
    ),
    _department(
        "Lighting",
        "Light where the evening happens.",
        "Ljus, Halo Works, Nordholm, Glimt",
        ("Table lamps", "lamp", "Table lamp, Bedside lamp, Desk lamp", (35, 260), "ceramic, brass, oak, linen"),
        ("Floor lamps", "floorlamp", "Floor lamp, Reading lamp, Arc lamp", (80, 480), "steel, brass, oak"),
        (
            "Pendant lights",
            "pendant",
            "Pendant light, Ceiling light, Globe light",
            (45, 390),
            "glass, rattan, steel, paper",
        ),
        ("Lanterns", "lantern", "Lantern, Storm lantern, Garden lantern", (20, 110), "steel, brass, zinc", 10),
        (
            "Candles",
            "candle",
            "Candle set, Pillar candles, Scented candles",
            (9, 48),
            "beeswax, soy wax, rapeseed wax",
            12,
        ),
        (
            "String lights",
            "fairylights",
            "String lights, Fairy lights, Festoon lights",
            (15, 85),
            "glass, copper wire",
            12,
        ),
    ),
    _department(
        "Textiles",
        "Soft things for every room.",
        "Wollhaus, Lind & Lau, Maren, Soft Hours, Casa Lenta",
        ("Cushions", "cushion", "Cushion, Cushion cover, Floor cushion", (18, 110), "linen, velvet, wool, cotton"),
        ("Throws", "throw", "Throw, Blanket, Bed throw", (35, 220), "wool, mohair, cotton, alpaca", 11),
        ("Rugs", "rug", "Rug, Runner, Round rug", (60, 890), "wool, jute, cotton"),
        ("Towels", "towel", "Towel set, Bath towels, Guest towels", (18, 95), "cotton, waffle cotton, linen"),
        ("Curtains", "curtain", "Curtains, Sheer curtains, Blackout curtains", (40, 240), "linen, cotton, velvet"),
    ),
    _department(
        "Garden",
        "For balconies, allotments and everything between.",
        "Greenhand, Potting Shed, Terra Nova, Wren & Robin",
        ("Plants", "plant", "Potted plant, Cactus, Fern", (9, 80), "terracotta pot, glazed pot", 4),
        (
            "Planters",
            "planter",
            "Planter, Flower pot, Patio pot",
            (12, 140),
            "terracotta, zinc, concrete, stoneware",
            4,
        ),
        ("Watering cans", "wateringcan", "Watering can, Indoor watering can", (18, 85), "steel, zinc, copper", 5),
        (
            "Garden tools",
            "gardentool",
            "Trowel and fork, Hand tools, Planting set",
            (15, 110),
            "steel, ash, stainless steel",
            4,
        ),
        ("Bird houses", "birdhouse", "Bird house, Nesting box, Feeder", (18, 75), "cedar, pine, larch", 2),
    ),
    _department(
        "Toys",
        "Good for rainy afternoons and most others.",
        "Tumbleton, Kleinod, Little Orbit, Puck & Pine",
        ("Toy vehicles", "toycar", "Toy car, Wooden train, Toy engine", (12, 75), "beech, maple, wood", 12),
        ("Soft toys", "softtoy", "Soft toy, Teddy, Cuddly friend", (15, 70), "cotton plush, wool, organic cotton", 12),
        ("Puzzles", "puzzle", "Puzzle, Jigsaw, Floor puzzle", (10, 45), "card, wood", 12),
        (
            "Building blocks",
            "blocks",
            "Building blocks, Letter blocks, Stacking blocks",
            (15, 90),
            "maple, beech, limewood",
            12,
        ),
        ("Board games", "boardgame", "Board game, Strategy game, Family game", (18, 80), "card, wood", 12),
    ),
    _department(
        "Stationery",
        "For lists, letters and second thoughts.",
        "Papier & Sohn, Folio, Inkwell Row, Marchmont",
        (
            "Notebooks",
            "notebook",
            "Notebook, Sketchbook, Day planner",
            (6, 42),
            "paper, linen cover, recycled paper",
            9,
        ),
        ("Pens", "pen", "Pencil set, Coloured pencils, Drawing pencils", (5, 60), "cedar, basswood", 9),
        ("Gift boxes", "giftwrap", "Gift box, Ribbon box, Present set", (5, 35), "paper, card", 12),
        ("Cards", "card", "Cards, Greeting cards, Postcard set", (4, 25), "cotton paper, card", 12),
        ("Desk organisers", "organiser", "Desk organiser, Pen pot, Desk tidy", (12, 85), "oak, steel, felt", 9),
    ),
    _department(
        "Sport",
        "For the hour that is yours.",
        "Fjordlauf, Stride, Base Eleven, Talla",
        ("Yoga mats", "yogamat", "Yoga mat, Travel mat, Exercise mat", (20, 120), "natural rubber, cork, jute", 1),
        ("Bottles", "bottle", "Bottle, Insulated bottle, Sports bottle", (12, 55), "steel, glass, tritan", 5),
        ("Tents", "tent", "Tent, Two-person tent, Tipi", (90, 620), "ripstop, cotton canvas", 6),
        ("Balls", "ball", "Ball, Football, Beach ball", (12, 70), "rubber, leather, recycled rubber", 5),
        ("Weights", "dumbbell", "Dumbbell, Kettlebell, Weight set", (18, 160), "cast iron, neoprene, steel", 1),
    ),
)
"""The departments; each product's brand comes from its department, so that brands matter in more than one category."""
