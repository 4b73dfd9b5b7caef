"""Every model keeps the contract: three lines each."""

from ml_models.testing.models import ModelContract


class TestPopular(ModelContract):
    name = "popular"
    personal = False


class TestItemKNN(ModelContract):
    name = "item_knn"


class TestEase(ModelContract):
    name = "ease"
