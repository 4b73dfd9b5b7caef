"""Track and recommend with the real parts: what a visitor viewed a second ago changes the next answer."""

import json

import numpy as np
import pytest
from django.db import connection, transaction

from ml_models.adapters.build import get_model_store, get_versions
from ml_models.core import artifact, clock
from ml_models.core.query import Query
from ml_models.core.registry import Registry
from ml_models.orm import OnlineInteraction, ProductStats, ServingModel
from ml_models.services import recommend
from tests.shop.models import Category, Product, TreeProduct

pytestmark = pytest.mark.django_db
URL = "/api/ml/recommendations/"


@pytest.fixture
def shoes(time):
    """Twelve products; the ids as text."""
    category = Category.objects.create(name="Shoes")
    return [str(Product.objects.create(name=f"Shoe {n}", category=category).pk) for n in range(12)]


@pytest.fixture
def storage(settings, tmp_path):
    settings.ML_STORAGE = {"data": str(tmp_path / "data"), "models": str(tmp_path / "models")}
    return tmp_path


@pytest.fixture
def promote(storage):
    """Export weights as a new version of `ease` and promote it."""

    def do(ids, links):
        registry = Registry(get_model_store(), get_versions())
        record = registry.begin("ease")
        weights = np.zeros((len(ids), len(ids)), dtype=np.float32)
        for (source, target), weight in links.items():
            weights[ids.index(source), ids.index(target)] = weight
        artifact.write(
            storage / "export",
            kind="item_item",
            model="ease",
            config={},
            item_ids=ids,
            arrays={"weights": weights},
            params={"weights": {"product_view": 1.0, "cart_add": 2.0, "purchase": 3.0}},
        )
        registry.finish(record, storage / "export", kind="item_item", metrics={})
        registry.promote("ease", record.version, by="test", reason="test")
        return record.version

    return do


def view(client, *ids):
    events = [
        {"event_type": "product_view", "timestamp": clock.now().isoformat(), "session_id": "s", "product_id": item}
        for item in ids
    ]
    body = {"events": events, "meta": {"batch_id": f"b-{'-'.join(ids)}", "sent_at": clock.now().isoformat()}}
    response = client.post("/api/ml/track/", json.dumps(body), content_type="application/json")
    assert response.json() == {"status": "ok", "processed": len(ids)}


def ask(client, **parameters):
    response = client.get(URL, parameters)
    assert response.status_code == 200, response.content
    return [item["product_id"] for item in response.json()["recommendations"]]


def test_a_guests_view_changes_the_next_answer(client, shoes, promote, time):
    promote(shoes, {(shoes[0], shoes[5]): 1.0, (shoes[1], shoes[6]): 1.0})
    newest = shoes[::-1]
    assert ask(client, limit=2) == newest[:2]
    view(client, shoes[0])
    assert ask(client, limit=2) == [shoes[5], newest[0]]
    time.advance(seconds=1)
    view(client, shoes[1])
    assert set(ask(client, limit=2)) == {shoes[5], shoes[6]}
    assert ask(client, type="recently_viewed") == [shoes[1], shoes[0]]


def test_another_guest_is_not_affected(client, shoes, promote):
    promote(shoes, {(shoes[0], shoes[5]): 1.0})
    view(client, shoes[0])
    client.cookies.clear()
    assert ask(client, limit=1) == [shoes[-1]]


def test_sold_out_a_moment_ago_is_not_shown(client, shoes, promote):
    promote(shoes, {(shoes[0], shoes[5]): 2.0, (shoes[0], shoes[6]): 1.0})
    view(client, shoes[0])
    assert ask(client, limit=1) == [shoes[5]]
    Product.objects.filter(pk=shoes[5]).update(stock=0)
    assert ask(client, limit=1) == [shoes[6]]


@pytest.mark.django_db(transaction=True)  # in a transaction a savepoint goes around
def test_two_queries_a_request(client, shoes, promote, django_assert_num_queries):
    promote(shoes, {(shoes[0], item): 1.0 for item in shoes})
    view(client, shoes[0])
    ask(client)
    with django_assert_num_queries(2) as captured:
        assert len(ask(client, limit=3)) == 3
    online, visible = [query["sql"] for query in captured]
    assert "ml_onlineinteraction" in online
    assert "shop_product" in visible


@pytest.mark.django_db(transaction=True)  # in a transaction a savepoint goes around
def test_two_queries_for_statistics_too(client, shoes, storage, django_assert_num_queries):
    for place, item in enumerate(shoes):
        ProductStats.objects.create(item_id=item, updated_at=clock.now(), trend=place + 1.0, purchases_30d=20 - place)
    view(client, shoes[0])
    assert ask(client, type="popular", limit=2) == shoes[:2]
    assert ask(client, type="trending", limit=2) == shoes[:-3:-1]
    with django_assert_num_queries(2):
        ask(client, type="trending", limit=2)


def test_statistics_of_nothing_are_no_ranking(client, shoes, storage):
    ProductStats.objects.create(item_id=shoes[0], updated_at=clock.now(), trend=0.0)
    ProductStats.objects.create(item_id=shoes[1], updated_at=clock.now(), trend=-1.0)
    response = client.get(URL, {"type": "trending"}).json()
    assert [source["source"] for source in response["meta"]["sources"]] == ["new"]


def test_promotion_and_roll_back_through_the_registry(client, shoes, promote, time):
    promote(shoes, {(shoes[0], shoes[5]): 1.0})
    view(client, shoes[0])
    assert ask(client, limit=1) == [shoes[5]]
    assert promote(shoes, {(shoes[0], shoes[6]): 1.0}) == 2
    time.advance(seconds=10)
    assert ask(client, limit=1) == [shoes[6]]
    Registry(get_model_store(), get_versions()).rollback("ease", by="test")
    time.advance(seconds=10)
    assert ask(client, limit=1) == [shoes[5]]


def test_ids_that_are_no_keys_of_the_shop_are_harmless(client, shoes, storage):
    assert ask(client, type="similar", product_id="../../etc", limit=1) == [shoes[-1]]
    assert ask(client, type="new", exclude="x,9999999999999999999999999,-1", limit=1) == [shoes[-1]]


def test_a_variant_put_into_the_cart_counts_for_its_product(client, storage, settings, promote, time):
    shirt, cap, hat = (TreeProduct.objects.create(name=name) for name in ("shirt", "cap", "hat"))
    large = TreeProduct.objects.create(name="shirt, large", parent=shirt)
    settings.ML_CATALOG = {
        "product": {"model": "shop.TreeProduct", "filter": {"parent": None}, "variants": {"parent": "parent"}}
    }
    ids = [str(one.pk) for one in (shirt, cap, hat)]
    promote(ids, {(ids[0], ids[1]): 1.0, (ids[0], ids[0]): 5.0})
    view(client, str(large.pk))
    assert ask(client) == [ids[1], ids[2]]  # the cap goes with the shirt, which was just looked at itself
    assert ask(client, type="recently_viewed", limit=1) == [ids[0]]
    assert ask(client, type="new", exclude=str(large.pk)) == [ids[2], ids[1]]


@pytest.mark.both_databases
def test_unreadable_tables_of_ours_spoil_no_page_of_the_shop(shoes, storage, caplog):
    """As with `ATOMIC_REQUESTS`, in the transaction of the page: after a failed query PostgreSQL answers no other."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            for model in (OnlineInteraction, ServingModel, ProductStats):
                cursor.execute(f"ALTER TABLE {model._meta.db_table} RENAME TO {model._meta.db_table}_gone")
        answer = recommend(Query(visitor="a:one", limit=2))
        assert Product.objects.count() == 12
        transaction.set_rollback(True)
    assert answer.product_ids == shoes[:-3:-1]
    for said in ("Recent interactions cannot be read", "promoted versions cannot be read", "statistics cannot be read"):
        assert said in caplog.text
