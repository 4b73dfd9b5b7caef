"""Rules of the house that no linter knows. Each failure names the file and the line."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.fresh import ROOT

SOURCE = ROOT / "src/ml_models"
MODULES = sorted(path for path in SOURCE.rglob("*.py") if "migrations" not in path.parts)


def _name(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def _imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def _importers(*packages: str) -> list[str]:
    found = set()
    for path in MODULES:
        for line, name in _imports(ast.parse(path.read_text(encoding="utf-8"))):
            if any(name == package or name.startswith(f"{package}.") for package in packages):
                found.add(f"{_name(path)}:{line}")
    return sorted(found)


def test_the_present_comes_from_the_clock_alone():
    """So that a year can be simulated."""
    present = re.compile(r"(datetime\.(now|utcnow|today)|date\.today|timezone\.now|time\.time(_ns)?)$")
    found = [
        f"{_name(path)}:{node.lineno} {ast.unparse(node.func)}"
        for path in MODULES
        if path != SOURCE / "core/clock.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and present.search(ast.unparse(node.func))
    ]
    assert found == []


def test_djangos_settings_have_one_reader():
    readers = {place.partition(":")[0] for place in _importers("django.conf.settings", "django.conf.LazySettings")}
    assert readers <= {"settings.py", "checks.py"}


def test_nothing_is_pickled():
    assert _importers("pickle", "joblib", "cloudpickle", "dill", "shelve", "marshal") == []
    found = [
        f"{_name(path)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False"
    ]
    assert found == []


def test_no_second_copy_of_arrow_is_needed():
    assert _importers("pyarrow") == []


def test_errors_raised_on_purpose_have_the_one_base():
    """A bare `Exception` is no message for a user."""
    found = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and node.exc is not None:
                called = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
                if isinstance(called, ast.Name) and called.id in ("Exception", "BaseException", "RuntimeError"):
                    found.append(f"{_name(path)}:{node.lineno} {called.id}")
    assert found == []


def _tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_tracked_file_names_a_folder_of_one_machine():
    place = re.compile(rb"(?<![\w.])/(?:home|Users|root|work|mnt)/[\w.-]+/")
    found = [str(path.relative_to(ROOT)) for path in _tracked() if place.search(path.read_bytes())]
    assert [name for name in found if name != "tests/house/test_rules.py"] == []


def test_no_tracked_file_is_large():
    assert [str(path.relative_to(ROOT)) for path in _tracked() if path.stat().st_size > 1_500_000] == []


def test_every_logger_keeps_persons_out_of_its_lines():
    """A filter does not see what loggers below its own write, so `data_collection.privacy` names each."""
    import logging

    from ml_models.data_collection.privacy import LogScrubber

    sources = "".join(path.read_text(encoding="utf-8") for path in MODULES)
    names = set(re.findall(r'getLogger\("([^"]+)"\)', sources))
    assert "bunoraa.ml" in names
    assert [
        name for name in names if not any(isinstance(one, LogScrubber) for one in logging.getLogger(name).filters)
    ] == []
