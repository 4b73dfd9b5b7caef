"""The web process without the worker's libraries: importing one raises, and everything is served all the same."""

import json
from pathlib import Path

import pytest

from tests.house.fresh import FORBID, ROOT, python

WORKERS_ONLY = ("torch", "lightning", "polars", "deltalake", "scipy", "rich", "duckdb", "pyarrow", "pandas", "sklearn")

SETTINGS = """
from pathlib import Path
from tests.settings import *

BASE_DIR = Path(__file__).parent
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(BASE_DIR / "db.sqlite3")}}
ROOT_URLCONF = "weburls"
ML_AUTO_TRAINING_CONFIG = {"min_interactions": 10, "min_users": 2, "min_products": 2}
"""

URLS = """
from django.contrib import admin
from django.urls import path
from tests.urls import urlpatterns

urlpatterns = [path("admin/", admin.site.urls), *urlpatterns]
"""

WORKER = """
import json
import django; django.setup()
from django.core.management import call_command
from django.test import Client
from ml_models.orm import ServingModel
from tests.shop.models import Product

call_command("migrate", verbosity=0)
products = [str(Product.objects.create(name=f"Product {n}").pk) for n in range(20)]
for visitor in range(30):
    mine = products[visitor % 2::2]
    events = [{"event_type": "product_view", "product_id": mine[(visitor + n) % len(mine)]} for n in range(6)]
    Client().post("/api/ml/track/", json.dumps({"events": events}), content_type="application/json")
call_command("ml_collect", process=True, verbosity=0)
call_command("ml_train", all=True, verbosity=0)
print(json.dumps(sorted(ServingModel.objects.values_list("name", flat=True))))
"""

WEB = (
    FORBID
    + f"forbid(*{WORKERS_ONLY!r})"
    + """
import json
import django; django.setup()
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

call_command("migrate", verbosity=0)
client = Client()
seen = {"home": client.get("/").status_code, "product": client.get("/products/2/").status_code}
event = {"events": [{"event_type": "product_view", "product_id": "2"}]}
seen["track"] = client.post("/api/ml/track/", json.dumps(event), content_type="application/json").json()
seen["lists"] = {
    name: client.get("/api/ml/recommendations/", {"type": name, "limit": 5, "product_id": "2"}).json()
    for name in ("personalized", "similar", "popular", "trending", "new", "recently_viewed")
}
client.force_login(User.objects.create_superuser("ann"))
for table in ("modelversion", "promotion", "productstats", "userprofile"):
    seen[table] = client.get(f"/admin/ml/{table}/").status_code
from ml_models.data_collection.queue import queue
queue.flush()
from ml_models import tasks, signals
signals.emit_product_view(None, product=2)
queue.flush()
print(json.dumps(seen))
"""
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> tuple[Path, list[str]]:
    """A shop on disk with trained models, and the names of those that serve."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "websettings.py").write_text(SETTINGS, encoding="utf-8")
    (folder / "weburls.py").write_text(URLS, encoding="utf-8")
    return folder, json.loads(run(WORKER, folder).splitlines()[-1])


def run(code: str, folder: Path) -> str:
    return python(code, PYTHONPATH=f"{ROOT}:{folder}", DJANGO_SETTINGS_MODULE="websettings")


def test_it_starts_migrates_and_serves_every_endpoint(shop):
    folder, champions = shop
    assert "popular" in champions
    seen = json.loads(run(WEB, folder).splitlines()[-1])
    lists = seen.pop("lists")
    assert seen.pop("track") == {"status": "ok", "processed": 1}
    assert set(seen.values()) == {200}
    for name, answer in lists.items():
        assert answer["status"] == "ok", name
        assert answer["recommendations"], name
    # Not only the fallback: a trained artifact was loaded and scored with NumPy alone.
    assert any(champion in json.dumps(lists["similar"]["meta"]) for champion in champions if champion != "popular")


@pytest.mark.parametrize("package", WORKERS_ONLY)
def test_the_guard_of_this_test_bites(package):
    out = python(
        FORBID
        + f"""
forbid({package!r})
try:
    import {package}.anything
except ImportError as error:
    print(error)
"""
    )
    assert "must not be imported here" in out
