"""`services.recommend` with everything in memory: what each list holds, in which order, and who made it."""

import math
from dataclasses import replace

import numpy as np
import pytest

from ml_models.core.errors import CatalogueError, InvalidQuery, StoreError
from ml_models.core.query import Query
from ml_models.services import recommend, recommend_for
from ml_models.serving.answer import SourceUse

IDS = [f"p{number}" for number in range(30)]


@pytest.fixture(autouse=True)
def _no_statistics(monkeypatch):
    """No product statistics unless a test puts them there; they live in a table, and these tests use none."""
    rows = {"trend": [], "purchases_30d": []}
    monkeypatch.setattr("ml_models.serving.stats.ProductRanking._read", lambda self, k: rows[self.column][:k])
    return rows


@pytest.fixture
def statistics(_no_statistics):
    return _no_statistics


@pytest.fixture
def stocked(shop):
    shop.catalogue.products = dict.fromkeys(IDS, True)
    return shop


def test_nothing_trained_gives_the_newest(stocked):
    answer = recommend(Query(type="personalized", limit=3))
    assert answer.product_ids == ["p29", "p28", "p27"]
    assert answer.sources == (SourceUse("new", None, None, 3),)
    assert not answer.fallback


def test_personalized_follows_the_history(stocked, viewed):
    stocked.promote_ease(IDS, {("p1", "p7"): 0.9, ("p1", "p8"): 0.5, ("p2", "p9"): 0.7})
    answer = recommend(Query(limit=2, history=viewed("p1")))
    assert answer.product_ids == ["p7", "p8"]
    assert answer.sources == (SourceUse("ease", "ease", 1, 2),)
    assert recommend(Query(limit=1, history=viewed("p2"))).product_ids == ["p9"]


def test_history_comes_from_the_online_store(stocked, viewed):
    stocked.promote_ease(IDS, {("p1", "p7"): 0.9, ("p2", "p9"): 0.7})
    stocked.online.add("a:one", *viewed("p1"))
    assert recommend_for("a:one", limit=1).product_ids == ["p7"]
    stocked.online.add("a:one", *viewed("p2"))
    assert set(recommend_for("a:one", limit=2).product_ids) == {"p7", "p9"}
    assert stocked.online.asked == 2


def test_later_sources_fill_up_in_order(stocked, viewed, statistics):
    stocked.promote_ease(IDS, {("p1", "p7"): 0.9})
    stocked.promote_popular({"p3": 5, "p7": 4, "p4": 3})
    statistics["trend"] = [("p5", 2.0), ("p7", 1.0)]
    answer = recommend(Query(limit=6, history=viewed("p1")))
    assert answer.product_ids == ["p7", "p5", "p3", "p4", "p29", "p28"]
    assert answer.sources == (
        SourceUse("ease", "ease", 1, 1),
        SourceUse("trending", None, None, 1),
        SourceUse("popular", "popular", 1, 2),
        SourceUse("new", None, None, 2),
    )
    scores = [item.score for item in answer.items]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == 1.0
    assert scores[1] == 0.5
    assert scores[2] == 0.25


def test_the_order_of_sources_is_a_setting(stocked, ml_serving):
    ml_serving(sources={"personalized": ["popular", "new"], "shelf": ["popular"]})
    stocked.promote_popular({"p3": 5, "p4": 3})
    assert recommend(Query(limit=3)).product_ids == ["p3", "p4", "p29"]
    assert recommend(Query(type="shelf", limit=3)).product_ids == ["p3", "p4"]


def test_similar_asks_for_the_product_and_leaves_it_out(stocked, viewed):
    stocked.promote_ease(IDS, {("p1", "p1"): 9.0, ("p1", "p7"): 0.9, ("p2", "p9"): 0.7})
    answer = recommend(Query(type="similar", product_id="p1", history=viewed("p2"), limit=30))
    assert answer.product_ids[0] == "p7"
    assert "p1" not in answer.product_ids
    assert len(answer.product_ids) == 29


def test_similar_to_a_variant_is_similar_to_its_product(stocked):
    stocked.promote_ease(IDS, {("p1", "p7"): 0.9, ("p1", "p8"): 0.5})
    stocked.catalogue.products["p1-blue"] = True
    stocked.catalogue.variants = {"p1-blue": "p1"}
    answer = recommend(Query(type="similar", limit=40, product_id="p1-blue"))
    assert answer.product_ids[:2] == ["p7", "p8"]
    assert not {"p1", "p1-blue"} & set(answer.product_ids)
    stocked.catalogue.looked_up.clear()
    assert recommend(Query(type="similar", limit=2, product_id="p1")).product_ids == ["p7", "p8"]
    assert stocked.catalogue.looked_up == []  # a product that a model knows needs no look


@pytest.fixture
def in_blue(stocked):
    """`p1` comes in blue, a variant that the shop could show as well; who meets `p1` should see `p7`."""
    stocked.promote_ease(IDS, {("p1", "p7"): 0.9, ("p1", "p1"): 9.0, ("p2", "p1"): 1.0})
    stocked.catalogue.products["p1-blue"] = True
    stocked.catalogue.variants = {"p1-blue": "p1"}
    return stocked


def test_a_variant_in_the_history_counts_for_its_product(in_blue, viewed):
    answer = recommend(Query(limit=40, history=viewed("p1-blue", event_type="cart_add")))
    assert answer.product_ids[0] == "p7"
    assert "p1" not in answer.product_ids  # what was just put into the cart
    assert in_blue.catalogue.looked_up == ["p1-blue"]


def test_an_excluded_variant_excludes_its_product(in_blue, viewed):
    answer = recommend(Query(limit=40, history=viewed("p2"), exclude=frozenset({"p1-blue"})))
    assert not {"p1", "p1-blue"} & set(answer.product_ids)


def test_a_viewed_variant_is_a_recently_viewed_product(in_blue, viewed):
    history = viewed("p3", "p1-blue", "p1", "p4", "p1-blue")
    assert recommend(Query(type="recently_viewed", history=history)).product_ids[:3] == ["p1", "p4", "p3"]


def test_without_variants_nothing_is_looked_up(in_blue, viewed):
    in_blue.catalogue.has_variants = False
    recommend(Query(history=viewed("new-1"), exclude=frozenset({"new-2"})))
    assert in_blue.catalogue.looked_up == []


def test_popular_without_a_model_comes_from_statistics(stocked, statistics):
    statistics["purchases_30d"] = [("p5", 12.0), ("p6", 3.0)]
    answer = recommend(Query(type="popular", limit=2))
    assert answer.product_ids == ["p5", "p6"]
    assert answer.sources == (SourceUse("bestsellers", None, None, 2),)


def test_trending_prefers_statistics_to_the_model(stocked, statistics):
    stocked.promote_popular({"p3": 5})
    statistics["trend"] = [("p5", 1.5)]
    assert recommend(Query(type="trending", limit=2)).product_ids == ["p5", "p3"]


def test_recently_viewed_is_newest_first_without_repeats_or_other_events(stocked, viewed):
    history = viewed("p1", "p2", "p1", "p3") + viewed("p9", event_type="cart_add")
    answer = recommend(Query(type="recently_viewed", history=history))
    assert answer.product_ids == ["p3", "p1", "p2"]
    assert not answer.fallback
    on_page = recommend(Query(type="recently_viewed", history=history, product_id="p3"))
    assert on_page.product_ids == ["p1", "p2"]


def test_recently_viewed_of_nobody_falls_back_and_says_so(stocked):
    answer = recommend(Query(type="recently_viewed", limit=2))
    assert answer.product_ids == ["p29", "p28"]
    assert answer.fallback


def test_personalized_passes_over_what_was_just_seen(stocked, viewed):
    stocked.promote_ease(IDS, {("p1", "p2"): 0.9, ("p1", "p7"): 0.5})
    stocked.promote_popular({"p1": 5, "p2": 4})
    assert recommend(Query(limit=1, history=viewed("p1", "p2"))).product_ids == ["p7"]
    # other lists do not
    assert recommend(Query(type="popular", limit=2, history=viewed("p1"))).product_ids == ["p1", "p2"]


def test_what_counts_as_seen_is_a_setting(stocked, viewed, ml_serving):
    ml_serving(exclude_seen={"personalized": ["purchase"]})
    stocked.promote_ease(IDS, {("p1", "p2"): 0.9, ("p1", "p7"): 0.5})
    history = viewed("p1", "p2")
    assert recommend(Query(limit=2, history=history)).product_ids == ["p2", "p7"]
    assert recommend(Query(limit=1, history=history + viewed("p2", event_type="purchase"))).product_ids == ["p7"]


def test_seen_products_come_back_before_an_empty_list(shop, viewed):
    shop.catalogue.products = {"p1": True, "p2": True, "p3": False}
    answer = recommend(Query(history=viewed("p1", "p2"), limit=5))
    assert answer.product_ids == ["p2", "p1"]
    assert answer.fallback
    assert recommend(Query(history=viewed("p1", "p2"), exclude=frozenset({"p1"}))).product_ids == ["p2"]


def test_excluded_products_never_come_back(shop):
    shop.catalogue.products = {"p1": True, "p2": True}
    shop.promote_popular({"p1": 2, "p2": 1})
    for list_type in ("personalized", "popular", "trending", "new", "recently_viewed"):
        assert recommend(Query(type=list_type, exclude=frozenset({"p1"}))).product_ids == ["p2"]
        empty = recommend(Query(type=list_type, exclude=frozenset({"p1", "p2"})))
        assert empty.product_ids == []
        assert empty.sources == ()
        assert not empty.fallback


def test_hidden_products_are_replaced_however_many_they_are(stocked):
    """The best 200 of 1,000 are hidden: the model is asked for more until the list is full."""
    many = [f"q{number}" for number in range(1000)]
    stocked.catalogue.products = dict.fromkeys(many, True)
    stocked.promote_popular({item: 1000 - place for place, item in enumerate(many)})
    stocked.catalogue.hide(*many[:950])
    answer = recommend(Query(type="popular", limit=20))
    assert answer.product_ids == many[950:970]
    assert answer.sources == (SourceUse("popular", "popular", 1, 20),)
    scores = [item.score for item in answer.items]
    assert scores == sorted(scores, reverse=True)


def test_one_question_to_the_shop_in_the_usual_case(stocked, viewed):
    stocked.promote_ease(IDS, {("p1", item): 1.0 + place for place, item in enumerate(IDS)})
    stocked.catalogue.hide("p29", "p28", "p27")
    assert recommend(Query(limit=10, history=viewed("p1"))).product_ids[0] == "p26"
    assert stocked.catalogue.asked == 1
    assert len(stocked.catalogue.asked_ids) == len(set(stocked.catalogue.asked_ids)) == 20


def test_deleted_products_of_a_model_are_not_shown(stocked):
    stocked.promote_popular({"gone": 9, "p3": 1})
    assert recommend(Query(type="popular", limit=1)).product_ids == ["p3"]


@pytest.mark.parametrize(
    "scores",
    [
        [math.inf, 3.0, 1.0, math.nan],
        [-5.0, -1.0, -3.0, -math.inf],
        [0.0, 0.0, 0.0, 0.0],
        [3.4e38, -3.4e38, 0.0, 1e-45],
    ],
)
def test_scores_are_finite_and_never_rise(stocked, scores):
    stocked.promote("popular", 1, "static", ["p1", "p2", "p3", "p4"], {"scores": scores})
    answer = recommend(Query(type="popular", limit=30))
    given = [item.score for item in answer.items]
    assert len(given) == 30
    assert all(math.isfinite(score) and 0 <= score <= 1 for score in given)
    assert given == sorted(given, reverse=True)


def test_a_two_tower_artifact_serves_under_any_model_name(stocked, viewed, ml_serving):
    ml_serving(sources={"personalized": ["towers", "new"]})
    vectors = np.zeros((4, 2))
    vectors[:, 0], vectors[2] = 1.0, (3.0, 0.0)
    stocked.promote("towers", 4, "two_tower", ["p1", "p2", "p3", "p4"], {"vectors": vectors})
    answer = recommend(Query(limit=1, history=viewed("p1")))
    assert answer.product_ids == ["p3"]
    assert answer.sources == (SourceUse("towers", "towers", 4, 1),)


def test_wrong_queries_are_refused_with_a_sentence(stocked):
    with pytest.raises(InvalidQuery, match=r"no list of type 'simliar'\. Did you mean similar\?"):
        recommend(Query(type="simliar"))
    with pytest.raises(InvalidQuery, match="needs product_id"):
        recommend(Query(type="similar"))
    for limit in (0, -1, 101):
        with pytest.raises(InvalidQuery, match="must be 1 to 100"):
            recommend(Query(limit=limit))


def test_switched_off_it_is_inert(stocked, settings):
    settings.ML_ENABLED = False
    answer = recommend(Query(visitor="a:one"))
    assert answer.items == ()
    assert stocked.catalogue.asked == stocked.online.asked == stocked.versions.asked == 0


def test_an_unreadable_online_store_costs_the_history_only(stocked, monkeypatch, caplog):
    def down(visitor, limit):
        raise StoreError("Redis does not answer.")

    monkeypatch.setattr(stocked.online, "recent", down)
    stocked.promote_popular({"p3": 1})
    assert recommend(Query(visitor="a:one", limit=1)).product_ids == ["p3"]
    assert "Redis does not answer." in caplog.text


def test_an_unmapped_catalogue_is_an_error_not_an_empty_list(stocked, monkeypatch):
    def unmapped(*args):
        raise CatalogueError("ML_CATALOG maps no product model.")

    monkeypatch.setattr(stocked.catalogue, "visible", unmapped)
    monkeypatch.setattr(stocked.catalogue, "newest", unmapped)
    with pytest.raises(CatalogueError):
        recommend(Query())


def test_recommend_for_takes_ids_of_any_type(stocked):
    stocked.catalogue.products = {"1": True, "2": True, "3": True}
    stocked.promote_ease(["1", "2", "3"], {("1", "2"): 2.0, ("1", "3"): 1.0})
    assert recommend_for(None, "similar", product_id=1, exclude=[2], limit=1).product_ids == ["3"]


def test_the_query_itself_is_not_changed(stocked, viewed):
    query = Query(visitor="a:one")
    stocked.online.add("a:one", *viewed("p1"))
    recommend(query)
    assert query == replace(query, history=())
