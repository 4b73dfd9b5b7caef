"""`python -m benchmarks._serve_shop.build PRODUCTS VISITORS`: fill the folder that `SERVE_SHOP` names.

`... build --promote` exports and promotes a further version of the model there.
"""

import json
import os
import sys
from datetime import timedelta

import numpy as np

DIMENSIONS = 64
VIEWS = 20
HIDDEN = 20
"""One product in so many is sold out."""


def main() -> None:
    """Build the shop, or promote a further version."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks._serve_shop.settings")
    import django

    django.setup()
    if sys.argv[1] == "--promote":
        promote()
    else:
        build(int(sys.argv[1]), int(sys.argv[2]))


def build(products: int, visitors: int) -> None:
    """Tables, products, visitors with recent items and cookies, the model, and what the floors need."""
    from django.conf import settings
    from django.core.management import call_command

    from benchmarks._serve_shop import search
    from ml_models.adapters.build import get_online_store
    from ml_models.core import clock
    from ml_models.core.ids import uuid7
    from ml_models.core.query import Interaction
    from ml_models.data_collection.identity import Identity, sign
    from tests.shop.models import Category, Product

    rng = np.random.default_rng(7)
    folder = settings.BASE_DIR
    call_command("migrate", verbosity=0)
    category = Category.objects.create(name="All")
    Product.objects.bulk_create(
        [
            Product(name=f"Product {n}", category=category, stock=0 if n % HIDDEN == 0 else 5, price=n % 100 + 1)
            for n in range(1, products + 1)
        ],
        batch_size=5000,
    )
    vectors = rng.normal(size=(products, DIMENSIONS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.save(folder / "vectors.npy", vectors)
    promote()
    now = clock.now()
    cookies, queries = [], []
    for _ in range(visitors):
        identity = Identity(uuid7(), None, int(now.timestamp()))
        cookies.append(sign(identity))
        items = rng.integers(0, products, size=VIEWS)
        queries.append(vectors[items].mean(axis=0))
        get_online_store().record(
            str(identity.key),
            [
                Interaction(str(item + 1), "product_view", now - timedelta(minutes=VIEWS - place))
                for place, item in enumerate(items)
            ],
        )
    (folder / "cookies.txt").write_text("\n".join(cookies) + "\n")
    np.save(folder / "queries.npy", np.array(queries, dtype=np.float32))
    times = search.timings(vectors, np.array(queries, dtype=np.float32))
    (folder / "method").write_text(min(times, key=lambda name: times[name]))
    (folder / "search.json").write_text(json.dumps(times))
    items_ = [{"product_id": str(1000 + n), "score": 0.9 - n / 100} for n in range(10)]
    meta = {"type": "personalized", "sources": [{"source": "x", "model": "x", "version": 1, "items": 10}]}
    (folder / "answer.json").write_text(json.dumps({"status": "ok", "recommendations": items_, "meta": meta}))


def promote() -> None:
    """A further version of the model over the same vectors, promoted as training would."""
    import tempfile
    from pathlib import Path

    from django.conf import settings

    from ml_models.adapters.build import get_model_store, get_versions
    from ml_models.core import artifact
    from ml_models.core.registry import Registry

    vectors = np.load(settings.BASE_DIR / "vectors.npy")
    registry = Registry(get_model_store(), get_versions())
    record = registry.begin("two_tower", trigger="benchmark")
    with tempfile.TemporaryDirectory(dir=settings.BASE_DIR) as temporary:
        export = Path(temporary) / "export"
        artifact.write(
            export,
            kind="two_tower",
            model="two_tower",
            config={},
            item_ids=[str(n) for n in range(1, len(vectors) + 1)],
            arrays={"vectors": vectors},
            params={"weights": {"product_view": 1.0}},
        )
        registry.finish(record, export, kind="two_tower", metrics={})
    registry.promote("two_tower", record.version, by="benchmark", reason="benchmark")


if __name__ == "__main__":
    main()
