"""Memory twins of the ports that serving asks, with counters."""

import numpy as np

from ml_models.adapters import build
from ml_models.core import artifact
from ml_models.core.errors import ArtifactError


class FakeCatalogue:
    """Products in the order they were added; each shown or hidden."""

    def __init__(self, ids=()):
        self.products = dict.fromkeys(map(str, ids), True)
        self.variants = {}
        self.asked = 0
        self.asked_ids = []
        self.looked_up = []

    def hide(self, *ids):
        self.products.update(dict.fromkeys(ids, False))

    def visible(self, ids):
        self.asked += 1
        self.asked_ids += ids
        return {item for item in ids if self.products.get(item)}

    def canonical(self, ids):
        self.looked_up += ids
        return {item: self.variants.get(item, item) for item in ids}

    def newest(self, limit, exclude=()):
        self.asked += 1
        left_out = set(exclude)
        return [item for item in reversed(self.products) if self.products[item] and item not in left_out][:limit]


class FakeVersions:
    def __init__(self):
        self.promoted = {}
        self.asked = 0

    def champions(self):
        self.asked += 1
        return dict(self.promoted)


class FakeStore:
    """Folders below one folder, written by `add`."""

    def __init__(self, folder):
        self.folder = folder

    def path(self, name, version):
        path = self.folder / name / str(version)
        if not path.exists():
            raise ArtifactError(f"There is no version {version} of {name}. Train it again.")
        return path


class FakeOnline:
    def __init__(self):
        self.events = {}
        self.asked = 0

    def add(self, visitor, *interactions):
        self.events.setdefault(visitor, []).extend(interactions)

    def recent(self, visitor, limit=50):
        self.asked += 1
        return self.events.get(visitor, [])[-limit:]


class Shop:
    """A shop with everything that a list is made of."""

    def __init__(self, folder):
        self.catalogue = FakeCatalogue()
        self.versions = FakeVersions()
        self.store = FakeStore(folder)
        self.online = FakeOnline()

    def install(self):
        """Put the shop in force."""
        build.override(
            catalogue=self.catalogue, versions=self.versions, model_store=self.store, online_store=self.online
        )

    def promote(self, name, version, kind, ids, arrays, params=None):
        """Write an artifact and make it the champion."""
        artifact.write(
            self.store.folder / name / str(version),
            kind=kind,
            model=name,
            config={},
            item_ids=[str(item) for item in ids],
            arrays={key: np.asarray(value, dtype=np.float32) for key, value in arrays.items()},
            params=params or {"weights": {"product_view": 1.0, "cart_add": 2.0, "purchase": 3.0}},
        )
        self.versions.promoted[name] = version

    def promote_popular(self, scores, version=1):
        """`popular` with a score per product id."""
        self.promote("popular", version, "static", list(scores), {"scores": list(scores.values())})

    def promote_ease(self, ids, links, version=1):
        """`ease` with a weight per (from, to); all others 0."""
        place = {str(item): number for number, item in enumerate(ids)}
        weights = np.zeros((len(place), len(place)))
        for (source, target), weight in links.items():
            weights[place[source], place[target]] = weight
        self.promote("ease", version, "item_item", ids, {"weights": weights})
