import json
import os
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest

from ml_models import auto_training, models, reports
from ml_models.adapters import build
from ml_models.adapters.event_store_memory import MemoryEventStore
from ml_models.adapters.model_store import MemoryModelStore
from ml_models.adapters.versions import MemoryVersions
from ml_models.core import artifact
from ml_models.core.errors import ConfigError, InsufficientData, ModelNotFound
from ml_models.core.event import Event
from ml_models.core.lake_schema import to_frame
from ml_models.core.query import Query
from ml_models.data_collection.status import data_status
from ml_models.testing.model_stores import small_artifact

START = datetime(2024, 3, 1, tzinfo=UTC)
SMALL = {"min_interactions": 100, "min_users": 10, "min_products": 10}


def planted_events(users=60, items=24, days=30, *, seed=1):
    """Each visitor has one of three tastes; one view a day or so."""
    rng = np.random.default_rng(seed)
    events = []
    for user in range(users):
        for day in rng.choice(days, size=12, replace=False).tolist():
            item = int(rng.choice(items // 3, p=np.arange(items // 3, 0, -1) / np.arange(items // 3, 0, -1).sum())) * 3
            events.append((START + timedelta(days=day, minutes=user), f"{user}", f"p{item + user % 3}"))
    events.append((START + timedelta(days=days - 1, hours=23), "0", "p0"))
    return [
        Event(
            event_id=f"00000000-0000-7000-8000-{number:012d}",
            event_type="product_view",
            event_time=when,
            received_at=when,
            user_id=user,
            product_id=item,
        )
        for number, (when, user, item) in enumerate(events)
    ]


@pytest.fixture
def shop(settings, tmp_path):
    """A lake with planted tastes, everything else in memory."""
    settings.ML_AUTO_TRAINING_CONFIG = SMALL
    settings.ML_MODELS = {"test_days": 7, "config": {"ease": {"regularization": 10.0}}}
    settings.ML_STORAGE = {"data": str(tmp_path / "data")}
    settings.ML_CATALOG = {}
    lake, store, versions = MemoryEventStore(), MemoryModelStore(), MemoryVersions()
    lake.commit(lake.snapshot(), {}, to_frame(planted_events()))

    def use(**changed):
        """Change settings (which forgets the adapters) and put these adapters in force."""
        for name, value in changed.items():
            setattr(settings, name, value)
        build.override(event_store=lake, model_store=store, versions=versions)

    use()
    yield use
    build.reset()
    store.close()


@pytest.mark.parametrize("catalog", [{"product": {"model": "shop.Product"}}, {"preset": "oscar"}])
def test_variants_train_as_their_product(shop, monkeypatch, catalog):
    class Shop:
        def canonical(self, ids):
            return {one: "p0" if one == "p3" else one for one in ids}

    monkeypatch.setattr("ml_models.data_collection.facts.get_catalogue", Shop)
    shop(ML_CATALOG=catalog)
    names = auto_training.prepare().full.item_ids.names
    assert "p0" in names
    assert "p3" not in names


def test_a_training_leaves_a_served_version_with_its_lineage(shop, tmp_path):
    record = auto_training.train("item_knn", trigger="manual")
    assert (record.version, record.status, record.kind, record.trigger) == (1, "ready", "item_item", "manual")
    assert record.metrics["promoted"] is True
    assert record.data["interactions"] == 721
    assert record.data["users"] == 60
    assert record.data["lake_version"] == 1
    assert len(record.data["hash"]) == 64
    assert record.config == auto_training.model_config("item_knn")
    assert json.dumps([record.metrics, record.data, record.config])
    assert auto_training.get_registry().champion("item_knn") == record
    loaded = artifact.load(build.get_model_store().path("item_knn", 1))
    assert set(loaded.item_ids) == {event.product_id for event in planted_events()}
    assert list((tmp_path / "data" / "work").iterdir()) == []


def test_the_evaluation_is_of_the_newest_days_beside_the_baselines(shop):
    metrics = auto_training.train("ease").metrics
    # the newest event is of 23:00 UTC on the 30th: in the shop's Berlin the 31st, and seven days begin on the 25th
    assert metrics["cutoff"] == "2024-03-24T23:00:00+00:00"
    assert set(metrics["baselines"]) == {"popular", "item_knn"}
    assert metrics["difference"]["popular"]["low"] > 0  # tastes are planted: a personal model must win
    assert metrics["model"]["ndcg"]["n"] == metrics["n"] > 20


def test_data_is_read_and_baselines_are_judged_once(shop, monkeypatch):
    fits = []
    fit = models.get("popular").fit
    monkeypatch.setattr(models.get("popular"), "fit", lambda self, data, run: fits.append(1) or fit(self, data, run))
    data = auto_training.prepare()
    for name in ("popular", "item_knn", "ease"):
        auto_training.train(name, data=data)
    assert len(fits) == 2  # once for the judgement of all three, once to serve


def test_a_worse_recipe_does_not_replace_the_champion(shop):
    first = auto_training.train("ease")
    worse = auto_training.train("ease", config={"min_events": 45, "repeat": 5.0})
    assert worse.status == "ready"
    assert worse.metrics["promoted"] is False
    assert worse.metrics["difference"]["champion"]["high"] < 0
    assert "against version 1" in worse.metrics["reason"]
    assert auto_training.get_registry().champion("ease").version == first.version
    again = auto_training.train("ease")
    assert again.metrics["reason"] == "the recipe of version 1 on newer data"
    assert auto_training.get_registry().champion("ease").version == 3
    assert auto_training.rollback("ease").version == 1


def test_too_little_data_is_said_with_counts_and_remedy(shop):
    shop(ML_AUTO_TRAINING_CONFIG={**SMALL, "min_users": 61, "min_interactions": 1000})
    with pytest.raises(InsufficientData) as caught:
        auto_training.train("popular")
    assert str(caught.value).startswith(
        "Insufficient data for training: 721 interactions of at least 1,000, 60 users of at least 61. "
    )
    assert "ml_status --data" in str(caught.value)
    assert auto_training.get_registry().versions.list() == []
    assert auto_training.train("popular", force=True).status == "ready"


def test_an_empty_lake(shop):
    build.override(event_store=MemoryEventStore())
    with pytest.raises(InsufficientData, match="holds no interactions"):
        auto_training.train("popular", force=True)


def test_too_short_a_history_trains_and_says_that_nothing_could_be_judged(shop):
    shop(ML_MODELS={"test_days": 300})
    record = auto_training.train("popular")
    assert record.metrics == {"promoted": True, "reason": "the data is too short to judge"}


def test_a_failure_is_kept_with_its_reason(shop, monkeypatch):
    def fail(self, data, run):
        raise MemoryError("no room")

    monkeypatch.setattr(models.get("popular"), "_fit", fail)
    with pytest.raises(MemoryError):
        auto_training.train("popular")
    (row,) = auto_training.get_registry().versions.list()
    assert (row.status, row.error) == ("failed", "MemoryError: no room")
    assert build.get_model_store().versions("popular") == []


def test_what_a_killed_training_left_goes_after_a_day(shop, tmp_path):
    work = tmp_path / "data" / "work"
    old, young, foreign = (work / name for name in ("export-old", "export-young", "other"))
    for path in (old, young, foreign):
        path.mkdir(parents=True)
    for path in (old, foreign):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    auto_training.train("popular")
    assert {path.name for path in work.iterdir()} == {"export-young", "other"}


def test_an_interrupt_is_kept_and_goes_on_up(shop, monkeypatch):
    def interrupt(self, data, run):
        raise KeyboardInterrupt

    monkeypatch.setattr(models.get("popular"), "_fit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        auto_training.train("popular")
    (row,) = auto_training.get_registry().versions.list()
    assert (row.status, row.error) == ("failed", "KeyboardInterrupt")


def test_unknown_names_and_configs(shop):
    with pytest.raises(ModelNotFound, match="Model not found: xyz"):
        auto_training.train("xyz")
    with pytest.raises(ConfigError, match="did you mean regularization"):
        auto_training.train("ease", config={"regularisation": 3})
    assert auto_training.get_registry().versions.list() == []


def test_settings_and_overrides_make_the_config(shop):
    assert auto_training.model_config("ease")["regularization"] == 10.0
    assert auto_training.model_config("ease", {"regularization": 3.0})["regularization"] == 3.0


def test_old_artifacts_go_and_rows_stay(shop):
    for _ in range(auto_training.KEEP + 2):
        auto_training.train("popular")
    assert build.get_model_store().versions("popular") == [3, 4, 5, 6, 7]
    rows = auto_training.get_registry().versions.list("popular")
    assert [row.status for row in rows] == ["ready"] * 5 + ["deleted"] * 2
    assert rows[-1].metrics["n"] > 0


@pytest.mark.parametrize(("keep_out", "visitors"), [(True, 60), (False, 61)])
def test_bots_train_only_where_the_shop_keeps_them(shop, keep_out, visitors):
    lake = build.get_event_store()
    robot = planted_events(users=1)
    for number, event in enumerate(robot):
        event.event_id, event.user_id, event.is_bot = f"00000000-0000-7000-8000-1{number:011d}", "robot", True
    lake.commit(lake.snapshot(), {}, to_frame(robot))
    shop(ML_TRACKING={"exclude_bots": keep_out})
    assert auto_training.prepare().full.n_users == visitors


def test_history_counts_from_the_newest_interaction(shop):
    shop(ML_MODELS={"test_days": 3, "history_days": 10})
    data = auto_training.prepare(force=True)
    assert data.full.first >= START + timedelta(days=19)


def test_a_row_of_the_future_spoils_no_training(shop):
    before = auto_training.prepare()
    lake = build.get_event_store()
    when = datetime(2099, 1, 1, tzinfo=UTC)
    mistyped = msgspec.structs.replace(planted_events()[0], event_id=f"{0:08}-0000-7000-9000-{1:012}", event_time=when)
    lake.commit(lake.snapshot(), {}, to_frame([mistyped]))
    data = auto_training.prepare()
    assert (len(data.full), data.full.lineage()["hash"]) == (721, before.full.lineage()["hash"])
    assert data.split is not None
    assert data_status().values["interactions"] == 721


def test_an_evaluation_of_what_serves(shop):
    data = auto_training.prepare()
    for name in ("popular", "item_knn", "ease"):
        auto_training.train(name, data=data)
    report = reports.evaluate_models()
    assert json.loads(json.dumps(report)) == report
    assert report["protocol"]["cutoff"] == "2024-03-24T23:00:00+00:00"
    assert report["protocol"]["first_day"] == "2024-03-25"
    by_name = {model["name"]: model for model in report["models"]}
    assert set(by_name) == {"popular", "item_knn", "ease"}
    assert by_name["ease"]["version"] == 1
    trained = auto_training.get_registry().champion("ease").metrics["model"]
    assert by_name["ease"]["metrics"]["ndcg"] == trained["ndcg"]
    gap = next(
        r for r in report["comparisons"] if (r["model"], r["baseline"], r["metric"]) == ("ease", "popular", "ndcg")
    )
    assert gap["low"] > 0


def test_an_evaluation_with_a_held_out_list_asks_the_served_artifacts(shop):
    auto_training.train("popular")
    report = reports.evaluate_models(holdout=[("u:0", "p0"), ("u:nobody", "p0")], k=3)
    (popular, knn) = report["models"]
    assert (popular["name"], popular["version"], knn["version"]) == ("popular", 1, None)
    assert (report["protocol"]["visitors"], report["protocol"]["visitors_without_history"]) == (1, 1)
    served = artifact.load(build.get_model_store().path("popular", 1)).top(Query(), 3)[0]
    assert popular["metrics"]["hr"]["value"] == float("p0" in served)


def test_an_untrained_model_is_not_found(shop):
    with pytest.raises(ModelNotFound, match=r"Model not found: ease\. Train it first: .*ml_train --model ease"):
        reports.evaluate_models(["ease"])
    with pytest.raises(ModelNotFound, match="Model not found: ncf"):
        reports.evaluate_models(["ncf"])
    with pytest.raises(ModelNotFound, match="Model not found: popular"):
        reports.evaluate_models()


def test_a_champion_that_cannot_be_judged_stops_no_report(shop):
    shop(ML_MODELS={"test_days": 29, "config": {"ease": {"min_events": 12}}})  # one day before them
    for name in ("popular", "ease"):
        auto_training.train(name)
    report = reports.evaluate_models()
    (left_out,) = report["not_judged"]
    assert (left_out["name"], left_out["version"]) == ("ease", 1)
    assert left_out["reason"].startswith("Insufficient data for training")
    assert [model["name"] for model in report["models"]] == ["popular", "item_knn"]
    assert "Not judged: ease v1. Insufficient data" in reports.report_page(report)

    build.get_versions().update("popular", 1, config={"lambda": 3})  # of another release
    report = reports.evaluate_models()
    assert [one["name"] for one in report["not_judged"]] == ["ease", "popular"]
    assert [(row["model"], row["baseline"]) for row in report["comparisons"]] == []
    assert [model["name"] for model in report["models"]] == ["item_knn"]


def test_a_damaged_champion_is_not_judged_by_a_held_out_list(shop):
    auto_training.train("popular")
    build.get_model_store().delete("popular", 1)
    report = reports.evaluate_models(holdout=[("u:0", "p0")])
    assert [(one["name"], "not in the model store" in one["reason"]) for one in report["not_judged"]] == [
        ("popular", True)
    ]


def test_where_nothing_is_left_to_judge_the_reason_is_raised(shop, monkeypatch):
    auto_training.train("popular")
    build.get_versions().update("popular", 1, config={"lambda": 3})
    monkeypatch.setattr(reports, "BASELINES", ("popular",))
    with pytest.raises(ConfigError, match="lambda"):
        reports.evaluate_models()


def test_targets_of_one_type(shop):
    auto_training.train("popular")
    with pytest.raises(ConfigError, match="purchaze"):
        reports.evaluate_models(target_types=["purchaze"])
    assert reports.evaluate_models(target_types=["product_view"])["protocol"]["target_types"] == ["product_view"]


def test_the_page_stands_alone(shop, tmp_path):
    pytest.importorskip("matplotlib")
    auto_training.train("ease")
    json_path, page_path = reports.write_report(reports.evaluate_models(), tmp_path / "sub" / "report.json")
    page = page_path.read_text(encoding="utf-8")
    assert json.loads(json_path.read_text(encoding="utf-8"))["models"]
    assert page.count("<svg") == 2
    for outside in ("src=", "<script", "<link", "@import"):
        assert outside not in page
    for name in ("popular", "item_knn", "ease v1"):
        assert name in page


def test_without_matplotlib_the_figures_are_written_all_the_same(shop, tmp_path, monkeypatch):
    import sys

    auto_training.train("popular")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert reports.write_report(reports.evaluate_models(), tmp_path / "r.json") == [tmp_path / "r.json"]


def test_a_slower_training_does_not_replace_one_begun_later(shop, monkeypatch):
    export = models.get("popular").export
    inner = []

    def meanwhile(self, directory):
        if not inner:  # another worker trains the same name, begun later and done sooner
            inner.append(None)
            inner[0] = auto_training.train("popular")
        return export(self, directory)

    monkeypatch.setattr(models.get("popular"), "export", meanwhile)
    slow = auto_training.train("popular")
    registry = auto_training.get_registry()
    assert (slow.version, inner[0].version, registry.champion("popular").version) == (1, 2, 2)
    assert slow.metrics == {"promoted": False, "reason": "version 2, begun later, was promoted meanwhile"}
    assert registry.versions.get("popular", 1).metrics == slow.metrics


def test_days_too_few_to_judge_by_do_not_stop_a_training(shop):
    shop(ML_MODELS={"test_days": 29, "config": {"ease": {"min_events": 12}}})  # one day before them
    data = auto_training.prepare()
    assert data.split is not None
    record = auto_training.train("ease", data=data)
    assert record.metrics == {"promoted": True, "reason": "the data is too short to judge"}


def test_a_champion_of_a_release_with_another_config_is_replaced(shop):
    auto_training.train("ease")
    build.get_versions().update("ease", 1, config={"lambda": 3})
    record = auto_training.train("ease")
    assert record.metrics["promoted"] is True
    assert record.metrics["reason"].startswith("the recipe of version 1 cannot be trained any more")
    assert auto_training.get_registry().champion("ease").version == 2


def test_what_is_promoted_while_old_versions_go_stays(shop, tmp_path, monkeypatch):
    for _ in range(auto_training.KEEP):
        auto_training.train("popular")
    registry = auto_training.get_registry()
    registry.versions.promote("popular", 1, by="test", reason="back")
    seen = registry.versions.champions
    looks = iter([{"popular": 5}])  # the pruning's first look is from before the roll-back
    monkeypatch.setattr(registry.versions, "champions", lambda: next(looks, None) or seen())
    monkeypatch.setattr(registry.versions, "promotions", lambda name, limit=1: [])
    for name in "ab":
        registry.finish(registry.begin("popular"), small_artifact(tmp_path / name), kind="static", metrics={})
    auto_training._prune(registry, "popular")
    assert registry.versions.get("popular", 1).status == "ready"
    assert registry.store.versions("popular") == [1, 3, 4, 5, 6, 7]


def test_the_report_is_json_for_everybody(tmp_path, monkeypatch):
    monkeypatch.setattr(reports, "report_page", lambda report: "")
    reports.write_report({"value": float("nan")}, tmp_path / "report.json")
    assert (tmp_path / "report.json").read_text().split() == ["{", '"value":', "null", "}"]
