import json
import socket
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from ml_models import auto_training
from tests.test_auto_training import shop  # noqa: F401  (a fixture)


def run(name, *args):
    out = StringIO()
    call_command(name, *args, stdout=out)
    return out.getvalue()


@pytest.fixture(autouse=True)
def _shop(shop):  # noqa: F811
    return shop


def test_all_enabled_models_are_trained_and_shown():
    out = run("ml_train")
    champions = auto_training.get_registry().versions.champions()
    assert champions == {"popular": 1, "item_knn": 1, "ease": 1}
    for word in ("popular", "item_knn", "ease", "NDCG@10", "721 interactions", "yes: first version"):
        assert word in out


def test_one_model():
    run("ml_train", "--model", "ease")
    assert auto_training.get_registry().versions.champions() == {"ease": 1}


def test_epochs_of_a_closed_form_are_answered_in_words():
    assert "ease is solved in closed form: --epochs has no effect on it." in run(
        "ml_train", "--model", "ease", "--epochs", "100"
    )


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(CommandError, match=r"^Model not found: xyz\. Known models: ease, item_knn, popular"):
        run("ml_train", "--model", "xyz")


def test_insufficient_data_is_refused_with_the_remedy_and_forced_on_request(shop):  # noqa: F811
    shop(ML_AUTO_TRAINING_CONFIG={"min_interactions": 5000, "min_users": 1, "min_products": 1})
    with pytest.raises(CommandError, match=r"^Insufficient data for training: 721 interactions of at least 5,000\. "):
        run("ml_train", "--all")
    run("ml_train", "--model", "popular", "--force")
    assert auto_training.get_registry().versions.champions() == {"popular": 1}


def test_one_failing_model_does_not_stop_the_others(monkeypatch):
    from ml_models import models
    from ml_models.core.errors import MLError

    def fail(self, data, run):
        raise MLError("no room for item_knn")

    judge = auto_training.TrainingData.evaluate
    monkeypatch.setattr(
        auto_training.TrainingData,
        "evaluate",
        lambda self, name, *rest: None if name == "item_knn" else judge(self, name, *rest),
    )
    monkeypatch.setattr(models.get("item_knn"), "_fit", fail)
    with pytest.raises(CommandError, match=r"^item_knn: no room for item_knn$"):
        run("ml_train")
    assert auto_training.get_registry().versions.champions() == {"popular": 1, "ease": 1}


def test_a_wrong_config_of_a_baseline_is_named(shop):  # noqa: F811
    shop(ML_MODELS={"test_days": 7, "config": {"item_knn": {"shrinkage": -1}}, "enabled": ["popular"]})
    with pytest.raises(CommandError, match="item_knn is wrong: shrinkage must be >= 0"):
        run("ml_train")


def test_contradictory_options():
    for arguments in (["--model", "ease", "--all"], ["--epochs", "0"]):
        with pytest.raises(CommandError):
            run("ml_train", *arguments)


def test_nothing_is_trained_while_the_app_is_off(shop, settings):  # noqa: F811
    shop(ML_ENABLED=False)
    with pytest.raises(CommandError, match="ML_ENABLED is False"):
        run("ml_train")


def test_async_queues_one_task_per_model(monkeypatch):
    from ml_models import tasks

    queued = []

    class Result:
        id = "abc"

    monkeypatch.setattr(tasks.train_model_task, "apply_async", lambda args, **options: queued.append(args) or Result())
    assert "ease: queued as task abc" in run("ml_train", "--async")
    assert queued == [(name, {}, "manual", False) for name in ("popular", "item_knn", "ease")]
    queued.clear()
    run("ml_train", "--model", "ease", "--async", "--force")
    assert queued == [("ease", {}, "manual", True)]


def test_async_without_a_broker_is_said_in_words(monkeypatch):
    import celery

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = celery.Celery("nowhere", broker=f"redis://127.0.0.1:{port}/0", set_as_current=True)
    app.conf.broker_transport_options = {"socket_connect_timeout": 1, "max_retries": 0}
    try:
        with pytest.raises(CommandError, match=r"^Could not connect to Redis.*redis-cli ping.*without --async"):
            run("ml_train", "--model", "popular", "--async")
    finally:
        app.close()
        celery._state._set_current_app(None)
        celery._state.set_default_app(None)


def test_evaluate_shows_and_writes(tmp_path):
    run("ml_train")
    out = run("ml_evaluate", "--report", "--output", str(tmp_path / "report.json"), "--k", "5")
    for word in ("popular", "item_knn", "ease", "NDCG@5", "NDCG against popular", "report.json", "report.html"):
        assert word in out
    assert json.loads((tmp_path / "report.json").read_text())["protocol"]["k"] == 5


def test_evaluate_one_model_keeps_the_baselines_beside_it():
    run("ml_train", "--model", "ease")
    out = run("ml_evaluate", "--model", "ease")
    assert out.count("untrained") == 2


def test_evaluate_with_live_histories(tmp_path):
    run("ml_train")
    run("ml_evaluate", "--live", "--output", str(tmp_path / "live.json"))
    run("ml_evaluate", "--output", str(tmp_path / "frozen.json"))
    live, frozen = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("live", "frozen"))
    assert (live["protocol"]["split"], frozen["protocol"]["split"]) == ("global time split, live", "global time split")
    assert live["protocol"]["cutoff"] == frozen["protocol"]["cutoff"]
    assert live["models"][0]["metrics"]["ndcg"] != frozen["models"][0]["metrics"]["ndcg"]


def test_evaluate_an_untrained_model():
    with pytest.raises(
        CommandError, match=r"^Model not found: ease\. Train it first: python manage\.py ml_train --model ease$"
    ):
        run("ml_evaluate", "--model", "ease")


def test_evaluate_with_a_held_out_file(tmp_path):
    run("ml_train", "--model", "popular")
    held = tmp_path / "held.csv"
    held.write_text("user_id,item_id\n0,p0\n1,p1\n")
    assert "2 visitors, 24 products, held-out list" in run("ml_evaluate", "--holdout", str(held), "--history", "0")
    held.write_text("user,item\n0,p0\n")
    with pytest.raises(CommandError, match="columns user_id and item_id"):
        run("ml_evaluate", "--holdout", str(held))
    with pytest.raises(CommandError, match="cannot be read"):
        run("ml_evaluate", "--holdout", str(tmp_path / "none.csv"))
