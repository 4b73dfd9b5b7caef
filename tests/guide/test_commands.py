"""The guide's command lines, run for real on a small shop with known visitors."""

import json
import re
import shlex
from pathlib import Path

import pytest
from django.core.management import call_command

from ml_models.core.errors import InsufficientData, ModelNotFound
from ml_models.settings import get_settings
from tests.guide.pending import PENDING
from tests.guide.snippets import Snippet

pytestmark = pytest.mark.both_databases


def lines(snippet: Snippet) -> list[str]:
    """The `manage.py` lines of a snippet, less those of later parts."""
    found = [line for line in snippet.text.splitlines() if line.startswith("python manage.py ")]
    return [line for line in found if f"{snippet.name}: {line}" not in PENDING]


def run(snippet: Snippet, capsys) -> dict[str, str]:
    """Line -> what it printed."""
    printed = {}
    for line in lines(snippet):
        call_command(*shlex.split(line)[2:])
        printed[line.removeprefix("python manage.py ")] = capsys.readouterr().out
    assert printed
    return printed


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A working folder for commands that write a file."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def eager(settings):
    """Celery runs tasks in place: there is no worker in a test."""
    from celery import current_app

    before = current_app.conf.task_always_eager
    current_app.conf.task_always_eager = True
    yield
    current_app.conf.task_always_eager = before


@pytest.fixture
def collected(visits, capsys):
    """The visits are in the lake."""
    visits()
    call_command("ml_collect", process=True)
    capsys.readouterr()


@pytest.fixture
def trained(collected, capsys):
    call_command("ml_train", all=True)
    capsys.readouterr()


@pytest.mark.runs("management-commands/ml-collect-collect-training-data#1")
def test_collect(snippet, visits, here, capsys):
    from ml_models.adapters.build import get_event_store
    from ml_models.orm import ProductStats, UserProfile

    visits()
    run(snippet, capsys)
    assert get_event_store().stats()["rows"] == 400
    assert UserProfile.objects.count() == 40
    assert ProductStats.objects.filter(views_30d__gt=0).count() == 24
    assert list(Path(get_settings().storage.data).rglob("*.parquet"))


@pytest.mark.runs("management-commands/ml-train-train-ml-models#1")
def test_train(snippet, collected, eager, capsys):
    from ml_models.orm import ModelVersion

    printed = run(snippet, capsys)
    assert set(printed) == {"ml_train", "ml_train --async"}
    trained = set(ModelVersion.objects.filter(status="ready").values_list("name", flat=True))
    assert trained == set(get_settings().models.enabled)


@pytest.mark.runs("management-commands/ml-evaluate-evaluate-models#1")
def test_evaluate(snippet, trained, here, capsys):
    run(snippet, capsys)
    report = json.loads((here / "report.json").read_text(encoding="utf-8"))
    text = json.dumps(report)
    for name in get_settings().models.enabled:
        assert name in text


@pytest.mark.runs("management-commands/ml-status-check-system-status#1")
def test_status(snippet, trained, capsys):
    printed = run(snippet, capsys)
    assert set(printed) == {f"ml_status{flag}" for flag in ("", " --health", " --data", " --queue", " --json")}
    assert json.loads(printed["ml_status --json"])
    for name in get_settings().models.enabled:
        assert name in printed["ml_status --health"]
    assert "400" in printed["ml_status --data"]


@pytest.mark.runs("production-deployment/initial-training#1")
def test_initial_training(snippet, collected, here, capsys):
    assert list(run(snippet, capsys)) == ["ml_collect --export", "ml_train --all", "ml_evaluate"]


@pytest.mark.runs("production-deployment/monitoring#1")
def test_monitoring(snippet, trained, capsys):
    assert "ml_status" in run(snippet, capsys)
    assert "tail -f logs/ml.log" in snippet.text  # the demo's LOGGING writes it, see test_deployment
    assert "celery -A bunoraa inspect active" in snippet.text


@pytest.mark.runs("auto-training/monitoring-auto-training#1")
def test_monitoring_of_auto_training(snippet):
    """Every line of it waits for the command of part 5."""
    assert lines(snippet) == []


@pytest.mark.runs("management-commands/ml-auto-train-manage-auto-training#1")
def test_auto_train(snippet):
    """Every line of it waits for the command of part 5."""
    assert lines(snippet) == []


@pytest.mark.runs("troubleshooting/common-issues/models-not-loading#1")
def test_the_text_of_a_missing_model(snippet):
    (said,) = re.findall(r"Error: (.+)", snippet.text)
    assert str(ModelNotFound("ncf")).startswith(said)
    assert "python manage.py ml_train --model ncf" in str(ModelNotFound("ncf"))


@pytest.mark.runs("troubleshooting/common-issues/models-not-loading#2")
def test_the_remedy_of_a_missing_model(snippet, trained, settings):
    """`ls ml_models/saved_models/`, relative to BASE_DIR, is where versions are by default."""
    assert "ls ml_models/saved_models/" in snippet.text
    settings.ML_STORAGE = {}
    assert get_settings().storage.models == Path(settings.BASE_DIR) / "ml_models/saved_models"


@pytest.mark.runs("troubleshooting/common-issues/training-data-insufficient#1")
def test_the_text_of_too_little_data(snippet):
    (said,) = re.findall(r"Warning: (.+)", snippet.text)
    assert str(InsufficientData("3 interactions, 1,000 are needed")).startswith(said)


@pytest.mark.runs("troubleshooting/common-issues/training-data-insufficient#2")
def test_the_remedy_of_too_little_data(snippet, products, settings, capsys):
    from django.core.management.base import CommandError

    settings.ML_AUTO_TRAINING_CONFIG = {}
    with pytest.raises((InsufficientData, CommandError), match="Insufficient data for training"):
        call_command("ml_train", model="popular")
    capsys.readouterr()
    assert "0" in run(snippet, capsys)["ml_status --data"]
