"""Requirements, compose file, Celery command lines, Redis and the file structure."""

import re

import pytest
import yaml
from packaging.requirements import Requirement

from ml_models.settings import get_settings
from tests.guide.pending import PENDING
from tests.guide.snippets import Snippet
from tests.house.fresh import ROOT, python

INSTEAD = {"user-agents": "ua-parser", "pandas": None, "scikit-learn": None}
"""What stands for a line of the guide's list, see docs/decisions/requirements.md."""


def packages(text: str) -> dict[str, Requirement]:
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    found = [Requirement(line) for line in lines if line and line != "." and not line.startswith("-")]
    return {requirement.name: requirement for requirement in found}


@pytest.mark.runs("installation/requirements#1")
def test_requirements(snippet):
    """Each line of the guide's list is in ours, or replaced as written down; ours is pinned throughout."""
    ours = packages((ROOT / "requirements.txt").read_text(encoding="utf-8"))
    pinned = packages((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    theirs = packages(snippet.text)
    assert set(ours) == {INSTEAD.get(name, name) for name in theirs} - {None}
    for name, requirement in ours.items():
        (version,) = [one.version for one in pinned[name].specifier if one.operator == "=="]
        assert requirement.specifier.contains(version), name
        if name in theirs:
            assert theirs[name].specifier.contains(version), name


@pytest.mark.runs("installation/install-dependencies#1")
def test_install_dependencies(snippet):
    """The file the command names is there, installs this project, and takes the pinned versions."""
    assert snippet.text == "pip install -r requirements.txt\n"
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert "." in lines
    assert "-c constraints.txt" in lines


@pytest.mark.runs("installation/redis-setup#1")
def test_redis_setup(snippet, settings):
    """The port that the container publishes is the one in the guide's REDIS_URL."""
    (port,) = re.findall(r"-p (\d+):6379", snippet.text)
    settings.REDIS_URL = f"redis://localhost:{port}/0"
    assert get_settings().redis_url == "redis://localhost:6379/0"


@pytest.mark.runs("troubleshooting/common-issues/redis-connection-error#1")
def test_the_text_of_no_redis(snippet):
    assert "Could not connect to Redis" in snippet.text


@pytest.mark.runs("troubleshooting/common-issues/redis-connection-error#2")
def test_redis_answers_where_it_runs(snippet, redis_url, settings):
    import redis

    assert "redis-cli ping" in snippet.text
    (line,) = re.findall(r"^REDIS_URL = '(.+)'$", snippet.text, re.MULTILINE)
    settings.REDIS_URL = line
    assert get_settings().redis_url == line
    with redis.Redis.from_url(redis_url) as client:
        assert client.ping()


@pytest.mark.runs("production-deployment/docker-compose-example#1")
def test_compose(snippet, tmp_path):
    """Its commands name the demo's Celery app, and the demo's settings take its environment."""
    services = yaml.safe_load(snippet.text)["services"]
    assert set(services) == {"web", "redis", "celery_worker", "celery_beat"}
    environment = dict(line.split("=", 1) for line in services["web"]["environment"])
    for given, production in ((environment, True), (environment | {"PRODUCTION": "false"}, False)):
        out = python(
            """
            import django; django.setup()
            from ml_models.settings import get_settings
            print(get_settings().production, get_settings().redis_url)
            """,
            cwd=ROOT / "example",
            DJANGO_SETTINGS_MODULE="bunoraa.settings",
            PYTHONPATH=str(ROOT / "example"),
            BUNORAA_STATE=str(tmp_path),
            **given,
        )
        assert out.split() == [str(production), "redis://redis:6379/0"]


@pytest.mark.runs("troubleshooting/common-issues/celery-tasks-not-running#1")
def test_the_sentence_about_tasks(snippet):
    assert snippet.text == "No tasks are being processed\n"


@pytest.mark.runs("troubleshooting/common-issues/celery-tasks-not-running#2")
def test_celery_commands(snippet, tmp_path):
    """`celery -A bunoraa` finds the app and its tasks, and the log of the guide is written."""
    assert re.findall(r"celery -A (\w+) ", snippet.text) == ["bunoraa"] * 3
    out = python(
        """
        import logging
        import bunoraa
        from celery.bin.base import CLIContext
        from celery.app.utils import find_app

        app = find_app("bunoraa")
        app.loader.import_default_modules()
        logging.getLogger("bunoraa.ml").warning("written")
        print(*sorted(name for name in app.tasks if name.startswith("ml.")))
        """,
        cwd=ROOT / "example",
        DJANGO_SETTINGS_MODULE="bunoraa.settings",
        PYTHONPATH=str(ROOT / "example"),
        BUNORAA_STATE=str(tmp_path),
    )
    assert {"ml.process_training_data", "ml.scheduled_training", "ml.train_model"} <= set(out.split())
    assert "written" in (tmp_path / "logs/ml.log").read_text(encoding="utf-8")


def tree(snippet: Snippet) -> list[str]:
    """Paths of the drawn tree, relative to its root."""
    folders: list[str] = []
    found = []
    for line in snippet.text.splitlines()[1:]:
        match = re.match(r"((?:│   |    )*)(?:├── |└── )(\S+)", line)
        depth, name = len(match[1]) // 4, match[2]
        folders[depth:] = [name.rstrip("/")]
        if name != "...":
            found.append("/".join(folders))
    return found


@pytest.mark.runs("file-structure#1")
def test_file_structure(snippet):
    paths = tree(snippet)
    assert "core/registry.py" in paths
    missing = [path for path in paths if not (ROOT / "src/ml_models" / path).exists()]
    assert [path for path in missing if f"{snippet.name}: {path}" not in PENDING and path != "saved_models"] == []
