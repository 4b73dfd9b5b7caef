"""The app in a project that sets nothing, and beside the folder the guide keeps trained models in."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.house.fresh import ROOT, python

MANAGE = """
import sys
sys.path.insert(0, "")
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", *sys.argv[1:]])
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """What `django-admin startproject` makes, with the app added and the folder of trained models there."""
    folder = tmp_path_factory.mktemp("bare")
    python(MANAGE, "startproject", "mysite", ".", cwd=folder)
    settings = folder / "mysite/settings.py"
    settings.write_text(settings.read_text(encoding="utf-8") + "\nINSTALLED_APPS += ['ml']\n", encoding="utf-8")
    (folder / "ml_models/saved_models/ease/1").mkdir(parents=True)
    return folder


def test_it_checks_migrates_and_says_what_it_is(project):
    env = {"DJANGO_SETTINGS_MODULE": "mysite.settings"}
    python(MANAGE, "check", cwd=project, **env)
    python(MANAGE, "migrate", "--verbosity=0", cwd=project, **env)
    out = python(MANAGE, "showmigrations", "ml", cwd=project, **env)
    assert "[X] 0001_initial" in out
    assert "[ ]" not in out
    python(MANAGE, "makemigrations", "--check", "--dry-run", cwd=project, **env)


def test_the_folder_of_trained_models_does_not_shadow_the_package(project):
    out = python(
        """
        import sys
        sys.path.insert(0, "")
        import django; django.setup()
        import ml_models, ml_models.settings
        print(ml_models.__file__)
        print(ml_models.settings.get_settings().storage.models)
        """,
        cwd=project,
        DJANGO_SETTINGS_MODULE="mysite.settings",
    ).split()
    assert Path(out[0]) == ROOT / "src/ml_models/__init__.py"
    assert Path(out[1]) == project / "ml_models/saved_models"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_has_everything_an_installed_app_needs(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "src"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    missing = [name for name in tracked if name.removeprefix("src/") not in names]
    assert missing == []
    for needed in ("ml/py.typed", "ml_models/py.typed", "ml_models/migrations/0001_initial.py", "ml/apps.py"):
        assert needed in names
    assert any(name.startswith("ml_models/static/") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith("ml_models/saved_models/") and "__init__" not in name]


def test_the_installed_wheel_is_not_shadowed_either(wheel, project, tmp_path):
    """An installed wheel stands behind the working folder on sys.path, an editable install's folder does too."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    out = python(
        """
        import sys
        src, site = sys.argv[1:]
        sys.path[:] = ["", *(path for path in sys.path if path and path != src), site]
        import django; django.setup()
        import ml_models
        from django.core.management import call_command
        call_command("check")
        print(ml_models.__file__)
        """,
        str(ROOT / "src"),
        str(tmp_path),
        cwd=project,
        DJANGO_SETTINGS_MODULE="mysite.settings",
    )
    assert out.split()[-1] == str(tmp_path / "ml_models/__init__.py")
