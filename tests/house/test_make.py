"""`make`, with a recorder in the place of the environment's Python."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.fresh import ROOT


@pytest.fixture
def checkout(tmp_path) -> Path:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    binaries = tmp_path / ".venv/bin"
    binaries.mkdir(parents=True)
    recorder = binaries / "python"
    recorder.write_text('#!/bin/sh\necho "$@" >> "$(dirname "$0")/../said"\n', encoding="utf-8")
    recorder.chmod(0o755)
    return tmp_path


def make(folder: Path, *arguments: str, path: str = os.environ["PATH"]) -> list[str]:
    """What the environment's Python was asked to do."""
    said = folder / ".venv/said"
    said.unlink(missing_ok=True)
    done = subprocess.run(
        ["make", f"PYTHON={sys.executable}", *arguments],
        cwd=folder,
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return said.read_text(encoding="utf-8").splitlines() if said.exists() else []


def test_the_environment_is_built_once_and_again_when_its_versions_change(checkout):
    assert make(checkout, "venv") == ["-m pip install -q -c constraints.txt -e .[dev]"]
    assert make(checkout, "venv") == []
    with (checkout / "constraints.txt").open("a", encoding="utf-8") as constraints:
        constraints.write("# changed\n")
    assert len(make(checkout, "venv")) == 1
    assert make(checkout, "venv") == []


def test_torch_is_installed_alone_and_first(checkout):
    first, second = make(checkout, "venv", "EXTRAS=dev,train")
    assert first.startswith("-m pip install -q torch==")
    assert second.endswith("-e .[dev,train]")


def test_the_demo_takes_the_folder_of_real_data(checkout):
    make(checkout, "venv")
    assert make(checkout, "demo") == ["example/demo.py"]
    assert make(checkout, "demo", "DATA=some/folder") == ["example/demo.py --data some/folder"]


def test_test_and_lint_run_everything(checkout):
    make(checkout, "venv")
    (checkout / ".venv/bin/lint-imports").symlink_to("python")
    assert [line.split()[1] for line in make(checkout, "test")] == ["tests.on_postgres", "pytest"]
    said = make(checkout, "lint")
    assert said == ["-m ruff check", "-m ruff format --check", "-m mypy", "--no-logo"]


def test_an_old_python_is_named_with_the_remedy(tmp_path, checkout):
    old = tmp_path / "old"
    told = "import sys; sys.version_info = (3, 9); $1"
    old.write_text(f'#!/bin/sh\nshift; exec "{sys.executable}" -c "{told}"\n', encoding="utf-8")
    old.chmod(0o755)
    done = subprocess.run(["make", "venv", f"PYTHON={old}"], cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "Python 3.11 or newer is needed, this is 3.9" in done.stderr


def test_the_check_of_continuous_integration_is_a_valid_script():
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert "make lint test" in script.read_text(encoding="utf-8")


@pytest.mark.parametrize("works", [True, False])
def test_the_trackers_tools_are_installed_once_where_npm_can(checkout, works):
    frontend = checkout / "frontend"
    frontend.mkdir()
    (frontend / "package-lock.json").write_text("{}", encoding="utf-8")
    npm = checkout / "bin/npm"
    npm.parent.mkdir()
    body = "mkdir -p frontend/node_modules" if works else "exit 1"
    npm.write_text(f'#!/bin/sh\necho "$@" >> npm-said\n{body}\n', encoding="utf-8")
    npm.chmod(0o755)
    path = f"{npm.parent}:{os.environ['PATH']}"
    make(checkout, "venv")
    for _ in range(2):  # without the tools the other tests run all the same
        assert make(checkout, "test", path=path)[-1].startswith("-m pytest")
    said = (checkout / "npm-said").read_text(encoding="utf-8").splitlines()
    assert said == ["ci --prefix frontend --no-audit --no-fund"] * (1 if works else 2)
