"""Two names, one app: `ml` only re-exports `ml_models`, whichever spelling a shop uses."""

import ast
import json
from pathlib import Path

import pytest
from django.core.management import call_command

from tests.house.fresh import ROOT, python

FACADE = sorted((ROOT / "src/ml").rglob("*.py"))

DESCRIBE = """
import json, sys
import django
from django.conf import settings

settings.configure(
    SECRET_KEY="x",
    INSTALLED_APPS=[
        "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
        "django.contrib.staticfiles", sys.argv[1],
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    MIDDLEWARE=["ml.middleware.MLTrackingMiddleware", "ml.middleware.MLProductTrackingMiddleware"],
    STATIC_URL="/static/",
)
django.setup()
from django.apps import apps
from django.contrib.staticfiles import finders
from django.core.management import call_command, get_commands
from django.db import connection
from django.utils.module_loading import import_string

(config,) = [config for config in apps.get_app_configs() if config.label == "ml"]
call_command("migrate", verbosity=0)
print(json.dumps({
    "class": f"{type(config).__module__}.{type(config).__name__}",
    "name": config.name,
    "label": config.label,
    "tables": sorted(model._meta.db_table for model in config.get_models()),
    "made": sorted(name for name in connection.introspection.table_names() if name.startswith("ml_")),
    "module": config.models_module.__name__,
    "commands": sorted({app for name, app in get_commands().items() if name.startswith("ml_")}),
    "tracker": bool(finders.find("js/ml-tracking.js")),
    "same": import_string(settings.MIDDLEWARE[0]) is import_string("ml_models.middleware.MLTrackingMiddleware"),
}))
"""


@pytest.fixture(scope="module")
def described() -> dict[str, dict]:
    return {name: json.loads(python(DESCRIBE, name)) for name in ("ml", "ml_models", "ml.apps.MLConfig")}


@pytest.mark.parametrize("spelling", ["ml", "ml_models", "ml.apps.MLConfig"])
def test_every_spelling_gives_the_same_app(described, spelling):
    found = described[spelling]
    assert (found["class"], found["name"], found["label"]) == ("ml_models.apps.MLConfig", "ml_models", "ml")
    assert found["module"] == "ml_models.orm"
    assert found["tables"] == found["made"]
    assert "ml_modelversion" in found["tables"]
    assert found["commands"] == ["ml_models"]
    assert found["tracker"]
    assert found["same"]
    assert found == described["ml_models"]


@pytest.mark.parametrize("path", FACADE, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_the_facade_holds_only_a_docstring_imports_and_all(path: Path):
    body = ast.parse(path.read_text(encoding="utf-8")).body
    assert isinstance(body[0], ast.Expr)
    assert isinstance(body[0].value, ast.Constant)
    for node in body[1:]:
        if isinstance(node, ast.Assign):
            assert [getattr(target, "id", None) for target in node.targets] == ["__all__"]
        else:
            assert isinstance(node, ast.ImportFrom), ast.unparse(node)
            assert node.module.startswith("ml_models.")


def test_the_facade_has_a_module_for_every_name_the_guide_uses():
    assert {str(path.relative_to(ROOT / "src")) for path in FACADE} == {
        "ml/__init__.py",
        "ml/apps.py",
        "ml/middleware.py",
        "ml/api/__init__.py",
        "ml/api/urls.py",
    }


def test_importing_with_nothing_configured_works():
    """All that a settings file, a Celery app or a script may import before Django is set up: whatever has no table."""
    out = python(
        """
        import ml, ml_models, ml.apps, ml_models.apps, ml_models.settings, ml_models.tasks, ml_models.checks
        import ml_models.models, ml_models.core.query, ml_models.data_collection.events, ml_models.signals
        import ml_models.middleware
        from django.conf import settings
        print(settings.configured)
        """
    )
    assert out.strip() == "False"


def test_settings_may_be_read_only_after_the_shops_settings_are_complete(tmp_path):
    """The beat schedule is made while settings.py runs: it must not read the half-made settings."""
    (tmp_path / "half.py").write_text(
        "from ml_models.tasks import get_celery_beat_schedule\n"
        "CELERY_BEAT_SCHEDULE = get_celery_beat_schedule()\n"
        "ML_API = {'max_limit': 77}\n"
        "SECRET_KEY = 'x'\n"
        "INSTALLED_APPS = ['django.contrib.auth', 'django.contrib.contenttypes', 'ml']\n",
        encoding="utf-8",
    )
    out = python(
        """
        import sys; sys.path.insert(0, ".")
        import django; django.setup()
        from ml_models.settings import get_settings
        print(get_settings().api.max_limit)
        """,
        cwd=tmp_path,
        DJANGO_SETTINGS_MODULE="half",
    )
    assert out.strip() == "77"


@pytest.mark.django_db
def test_the_tables_need_no_new_migration():
    call_command("makemigrations", "ml", check=True, dry_run=True, verbosity=0)
