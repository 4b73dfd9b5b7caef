"""Every snippet of the integration guide is run, or is listed as pending by name."""

import re

import pytest
from django.core.management import get_commands
from django.test import Client

from tests.guide.pending import MOST, PENDING
from tests.guide.snippets import Snippet, snippets, table
from tests.house.fresh import ROOT


@pytest.fixture(scope="session")
def marked(request) -> set[str]:
    """Names in the `runs` marks of this folder, read from the sources: they hold whatever is selected to run."""
    found: set[str] = set()
    for path in (ROOT / "tests/guide").glob("test_*.py"):
        found |= set(re.findall(r'pytest\.mark\.runs\(\s*"([^"]+)"', path.read_text(encoding="utf-8")))
    return found


@pytest.fixture(scope="session")
def registered() -> set[str]:
    """Names of the app's Celery tasks."""
    from ml_models import tasks

    return {str(one.name) for one in vars(tasks).values() if hasattr(one, "delay")}


def test_every_snippet_is_run_or_pending(every_snippet, marked):
    whole = {name for name in PENDING if ": " not in name}
    assert sorted(set(every_snippet) - marked - whole) == []


def test_no_name_is_out_of_date(every_snippet, marked):
    assert sorted(marked - set(every_snippet)) == []
    assert sorted(marked & {name for name in PENDING if ": " not in name}) == []
    for name in PENDING:
        snippet, _, line = name.partition(": ")
        if snippet != "celery-tasks/available-tasks":  # a table, looked at below
            assert line.rpartition("/")[2] in every_snippet[snippet].text, name


def test_the_list_only_shrinks():
    assert len(PENDING) <= MOST
    assert all(re.match(r"part [2-8], ", reason) for reason in PENDING.values())


@pytest.mark.django_db
@pytest.mark.parametrize("name", [name for name in PENDING if "manage.py" in name])
def test_a_pending_command_does_not_work_yet(name):
    words = name.partition("manage.py ")[2].split()
    models = {path.stem for path in (ROOT / "src/ml_models/models").glob("[!_]*.py")}
    model = words[words.index("--model") + 1] if "--model" in words else None
    assert words[0] not in get_commands() or (model and model not in models), "it works: take it off the list"


@pytest.mark.django_db
@pytest.mark.parametrize("name", [name for name in PENDING if name.startswith("api-endpoints/")])
def test_a_pending_endpoint_does_not_answer_yet(name, every_snippet):
    _, path = every_snippet[name].text.split()[:2]
    assert Client().get(path).status_code == 404, "it works: take it off the list"


@pytest.mark.parametrize("name", [name for name in PENDING if name.startswith("celery-tasks/available-tasks")])
def test_a_pending_task_is_not_there_yet(name, registered):
    assert name.partition(": ")[2] not in registered, "it is there: take it off the list"


def test_every_task_of_the_table_is_registered_or_pending(guide, registered):
    names = {row["Task"].strip("`") for row in table(guide, "Available Tasks")}
    waiting = {name.partition(": ")[2] for name in PENDING if name.startswith("celery-tasks/available-tasks")}
    assert names - registered - waiting == set()
    assert waiting <= names


@pytest.mark.parametrize("name", [name for name in PENDING if name.startswith("file-structure")])
def test_a_pending_file_is_not_there_yet(name):
    assert not (ROOT / "src/ml_models" / name.partition(": ")[2]).exists(), "it is there: take it off the list"


def test_snippets_are_named_by_heading_and_place():
    text = (
        "# T\n\n## One & two\n\n```python\na = 1\n```\n\n### Inner\n\n```\nx\n```\n"
        "```bash\nls\n\n```\n## Three\n```\nz\n```\n"
    )
    assert list(snippets(text).values()) == [
        Snippet("one-two#1", "python", "a = 1\n"),
        Snippet("one-two/inner#1", "", "x\n"),
        Snippet("one-two/inner#2", "bash", "ls\n\n"),
        Snippet("three#1", "", "z\n"),
    ]
