"""What of the system checks a command repeats."""

import pytest
from django.core.management import CommandError, call_command

pytestmark = pytest.mark.django_db


def run(capsys):
    call_command("ml_status", "--health", skip_checks=False)
    return capsys.readouterr().err


def test_remarks_are_left_to_manage_py_check(settings, capsys):
    settings.ML_CATALOG = {
        "product": {"model": "shop.Product", "fields": {"id": "pk", "name": "name", "price": "price"}}
    }
    call_command("check")
    assert "ml.I101" in capsys.readouterr().err
    assert "ml.I1" not in run(capsys)


def test_warnings_are_repeated(settings, capsys):
    settings.ML_CATALOG = {}
    assert "ml.W101" in run(capsys)


def test_errors_stop_it(settings):
    settings.ML_TRACKING = {"exclude_bot": True}
    with pytest.raises(CommandError, match="exclude_bots"):
        call_command("ml_status", skip_checks=False)
