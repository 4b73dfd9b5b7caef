"""Settings: the guide's defaults, every problem at once, foreign names are a warning, and nothing is read too early."""

import sys
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import pytest
from django.core.checks import run_checks
from django.test import override_settings

from ml_models import settings as ml_settings
from ml_models.adapters import build
from ml_models.core.errors import ConfigError
from ml_models.settings import MLSettings, ServingSettings, get_settings
from tests.data_collection import mmdb


def ids(**settings):
    """Ids of the general messages; the catalogue's begin at 100."""
    with override_settings(**settings):
        return [message.id for message in run_checks(tags=["ml"]) if int(message.id[-3:]) < 100]


def test_the_defaults_are_those_of_the_guide():
    settings = get_settings()
    assert (settings.enabled, settings.production, settings.auto_training, settings.auto_retrain_on_drift) == (
        True,
        False,
        True,
        True,
    )
    training = settings.auto_training_config
    assert (training.min_interactions, training.min_users, training.min_products) == (1000, 100, 50)
    assert (training.new_interactions_threshold, training.max_days_between_training) == (5000, 7)
    assert (training.training_hour, training.drift_threshold, training.max_concurrent_trainings) == (2, 0.15, 2)
    assert training.enabled
    assert training.enable_drift_detection
    collection = settings.data_collection
    assert (collection.batch_size, collection.flush_interval, collection.retention_days) == (100, 300, 90)
    assert collection.enabled
    assert collection.collect_location
    assert collection.collect_device_info
    assert settings.tracking.exclude_paths == ("/admin/", "/api/ml/", "/static/", "/media/")
    assert settings.tracking.exclude_bots
    assert settings.tracking.track_page_views
    assert settings.tracking.track_product_views


def test_every_default_passes_its_own_check():
    settings, problems = ml_settings.read()
    assert problems == []
    for attribute, cls in ml_settings.SECTIONS.values():
        section = getattr(settings, attribute)
        assert isinstance(section, cls)
        given = {field.name: getattr(section, field.name) for field in fields(cls)}
        assert ml_settings.build(cls, given, "X") == (section, [])


def test_folders_are_absolute_and_relative_to_base_dir(settings):
    base = Path(settings.BASE_DIR)
    storage = get_settings().storage
    assert storage.models == base / "ml_models" / "saved_models"
    assert storage.data == base / "ml_data"
    assert storage.lake == str(base / "ml_data" / "lake")
    settings.ML_STORAGE = {"data": "/elsewhere", "models": "artifacts", "lake": "events"}
    storage = get_settings().storage
    assert (storage.data, storage.models, storage.lake) == (
        Path("/elsewhere"),
        base / "artifacts",
        str(base / "events"),
    )
    settings.ML_STORAGE = {"lake": "s3://bucket/lake"}
    assert get_settings().storage.lake == "s3://bucket/lake"


def test_first_use_names_every_problem_with_its_remedy():
    wrong = {
        "ML_ENABLED": "false",
        "REDIS_URL": "localhost:6379",
        "ML_AUTO_TRAINING_CONFIG": {"training_hour": 24, "min_user": 5},
        "ML_DATA_COLLECTION": {"retention_days": "90"},
        "ML_TRACKING": {"exclude_paths": "/admin/"},
        "ML_MODELS": ["x"],
        "ML_API": {"default_limit": 500},
        "ML_SERVING": {"exclude_seen": {"similar": ["purchases"]}},
        "ML_SITE": "two words",
    }
    with override_settings(**wrong), pytest.raises(ConfigError) as caught:
        get_settings()
    lines = str(caught.value).splitlines()
    assert lines[0] == "10 settings are wrong."
    text = "\n".join(sorted(lines[1:]))
    for part in (
        "- ML_ENABLED must be True or False, not 'false' (str). Give True or False, without quotes",
        "- REDIS_URL is 'localhost:6379': not a URL such as redis://localhost:6379/0.",
        '- ML_AUTO_TRAINING_CONFIG["training_hour"] is 24: out of range. Give a value in the range 0 to 23.',
        '- ML_AUTO_TRAINING_CONFIG["min_user"] is not an option of ML_AUTO_TRAINING_CONFIG. Did you mean min_users?',
        "- ML_DATA_COLLECTION[\"retention_days\"] must be a whole number, not '90' (str).",
        "Put it in a list: ['/admin/'].",
        "- ML_MODELS must be a dictionary, not ['x'] (list).",
        '- ML_API["default_limit"] is 500, more than ML_API["max_limit"], 100.',
        "'purchases': no known name. Did you mean purchase?",
        "- ML_SITE is 'two words'",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, []),
        ({"ML_TRACKING": {"exclude_bot": True}}, ["ml.E001"]),
        ({"ML_TRACKING": {"exclude_bots": "yes"}}, ["ml.E002"]),
        ({"ML_API": {"max_limit": 0}}, ["ml.E003"]),
        ({"ML_STORAGE": {"spool": "nowhere.to.Found"}}, ["ml.E004"]),
        ({"ML_MODELS": {"enabled": ["nosuchmodel"]}}, ["ml.E005"]),
        ({"ML_SERVING": {"sources": {"similar": ["item_kn", "new"], "mine": ["ease"]}}}, ["ml.E007"]),
        ({"ML_SERVING": {"exclude_seen": {"similr": ["purchase"]}}}, ["ml.E007"]),
        ({"ML_SERVING": {"sources": {"mine": ["ease", "trending"]}, "exclude_seen": {"mine": ["purchase"]}}}, []),
        ({"ML_TRACKNG": {}}, ["ml.W001"]),
        ({"ML_DATA_COLLECTION": {"anonymize_ip": False}}, ["ml.W010"]),
        ({"ML_DATA_COLLECTION": {"geo_database": "nowhere.mmdb"}}, ["ml.W011"]),
        ({"ML_DATA_COLLECTION": {"geo_database": "nowhere.mmdb", "collect_location": False}}, []),
        ({"ML_MODELS": ["x"]}, ["ml.E002"]),
        ({"PRODUCTION": "true"}, ["ml.E002"]),
        ({"REDIS_URL": ""}, []),
        ({"ML_ENABLED": False, "ML_TRACKING": {"nonsense": 1}, "ML_TRACKNG": {}}, []),
    ],
)
def test_check_reports_by_public_id(settings, expected):
    assert ids(**settings) == expected


def test_a_foreign_setting_is_a_warning_with_a_suggestion_and_the_way_to_silence_it():
    with override_settings(ML_TRACKNG={}, ML_FLOW_URI="http://example.com"):
        messages = {message.msg.split()[0]: message for message in run_checks(tags=["ml"]) if message.id == "ml.W001"}
        assert get_settings().enabled
    assert set(messages) == {"ML_TRACKNG", "ML_FLOW_URI"}
    assert messages["ML_TRACKNG"].hint.startswith("Did you mean ML_TRACKING?")
    assert "SILENCED_SYSTEM_CHECKS" in messages["ML_FLOW_URI"].hint


@pytest.mark.django_db
def test_a_redis_that_is_away_is_a_warning_where_servers_may_be_asked():
    with override_settings(REDIS_URL="redis://127.0.0.1:1/0"):
        assert [message for message in run_checks(tags=["ml"]) if message.id == "ml.W020"] == []
        (message,) = (one for one in run_checks(tags=["ml"], databases=["default"]) if one.id == "ml.W020")
    assert message.msg.startswith("Could not connect to Redis at 127.0.0.1:1 ")


def test_keeping_addresses_is_said_in_words():
    with override_settings(ML_DATA_COLLECTION={"anonymize_ip": False, "retention_days": 40}):
        (message,) = [one for one in run_checks(tags=["ml"]) if one.id == "ml.W010"]
    for part in ("column ip_address", "40 days", "ml_forget"):
        assert part in message.msg


def test_a_geo_database_must_be_one(tmp_path, monkeypatch):
    path = tmp_path / "city.mmdb"
    with override_settings(ML_DATA_COLLECTION={"geo_database": str(path)}):
        path.write_bytes(b"no database")
        (message,) = [one for one in run_checks(tags=["ml"]) if one.id == "ml.W011"]
        assert "cannot be read" in message.msg
        mmdb.write(path, {"203.0.113.0/24": {"country": {"iso_code": "DE"}}})
        assert not [one for one in run_checks(tags=["ml"]) if one.id == "ml.W011"]
        monkeypatch.setitem(sys.modules, "maxminddb", None)
        (message,) = [one for one in run_checks(tags=["ml"]) if one.id == "ml.W011"]
        assert "bunoraa-ml[geo]" in message.hint


def test_a_model_name_with_a_slip_gets_a_suggestion():
    with override_settings(ML_MODELS={"enabled": ["populr"], "config": {"eese": {}}}):
        hints = {message.hint for message in run_checks(tags=["ml"]) if message.id == "ml.E005"}
    assert hints == {"Did you mean popular?", "Did you mean ease?"}


def test_a_source_with_a_slip_is_named_with_its_place():
    with override_settings(ML_SERVING={"sources": {"similar": ["new", "item_kn"]}}):
        (message,) = (message for message in run_checks(tags=["ml"]) if message.id == "ml.E007")
    assert message.msg.startswith('ML_SERVING["sources"]["similar"][1] names \'item_kn\'')
    assert message.hint == "Did you mean item_knn?"


def test_the_tables_must_come_from_orm(monkeypatch):
    from django.apps import apps

    assert "ml.E006" not in ids()
    monkeypatch.setattr(apps.get_app_config("ml"), "models_module", None)
    assert "ml.E006" in ids()


def test_wrong_settings_are_read_once_and_anew_after_a_change(monkeypatch):
    """Else every page of a shop with a slip in its settings would pay for reading them all."""
    reads, read = [], ml_settings.read
    monkeypatch.setattr(ml_settings, "read", lambda: reads.append(1) or read())
    with override_settings(ML_TRACKING={"track_page_view": True}):
        said = set()
        for _ in range(3):
            with pytest.raises(ConfigError) as caught:
                get_settings()
            said.add(str(caught.value))
    assert len(said) == len(reads) == 1
    assert get_settings().enabled
    assert len(reads) == 2


def test_switched_off_nothing_else_can_hurt():
    with override_settings(ML_ENABLED=False, ML_MODELS=["x"], ML_API={"nonsense": 1}):
        assert get_settings().enabled is False
    with override_settings(ML_ENABLED="False", ML_MODELS=["x"]), pytest.raises(ConfigError, match="ML_ENABLED"):
        get_settings()


def test_a_changed_setting_is_seen_and_rebuilds_the_adapters(settings):
    before, spool = get_settings(), object()
    build.override(spool=spool)
    settings.DEBUG = not settings.DEBUG
    assert get_settings() is before
    assert build.get_spool() is spool
    settings.ML_API = {"max_limit": 50}
    assert get_settings().api.max_limit == 50
    assert build.get_spool() is not spool


def test_lists_become_tuples_so_that_settings_cannot_be_changed_in_place(settings):
    settings.ML_TRACKING = {"exclude_paths": ["/internal/"]}
    settings.ML_SERVING = {"sources": {"similar": ["item_knn", "popular"]}}
    assert get_settings().tracking.exclude_paths == ("/internal/",)
    assert get_settings().serving.sources == {"similar": ("item_knn", "popular")}


def test_every_setting_is_documented_and_names_its_limits():
    """The limit that is enforced and the one a reader sees are the same."""
    from docs import settings_page
    from ml_models.core.validation import OneOf, limits

    for cls in (MLSettings, *(cls for _, cls in ml_settings.SECTIONS.values())):
        documented = settings_page.docstrings(cls)
        hints = ml_settings.get_type_hints(cls, include_extras=True)
        for field in fields(cls):
            if cls is MLSettings and field.name in {attribute for attribute, _ in ml_settings.SECTIONS.values()}:
                continue
            text = " ".join(documented[field.name].split())
            for limit in limits(hints[field.name]):
                if not isinstance(limit, OneOf):
                    assert str(limit).removesuffix(".0") in text.replace("`", ""), (cls.__name__, field.name)


def test_the_settings_page_is_fresh():
    from docs import settings_page

    assert settings_page.PAGE.read_text(encoding="utf-8") == settings_page.page(), "run: python docs/settings_page.py"


def test_a_query_holds_no_more_than_is_kept_of_a_visitor():
    from ml_models.adapters.online_store import KEEP

    longest = get_type_hints(ServingSettings, include_extras=True)["history"].__metadata__[0]
    assert longest.high == KEEP
