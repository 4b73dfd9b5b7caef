"""The presets on the real data: counts known from the data's own description."""

import polars as pl
import pytest

from ml_models.adapters import build
from ml_models.adapters.event_store_memory import MemoryEventStore
from ml_models.core.errors import ConfigError
from ml_models.data_collection.importer.presets import PRESETS, get_preset
from ml_models.data_collection.importer.run import ImportFile, import_files

FOLDERS = {"retailrocket": "retailrocket_events"}
KNOWN = {  # rows, events, users, items, types
    "retailrocket": (97_381, 97_381, 2_174, 29_905, {"product_view": 75_374, "cart_add": 12_456, "purchase": 9_551}),
    "amazon_beauty": (198_502, 198_502, 22_363, 12_101, {"product_view": 198_502}),
    "ml100k": (100_000, 100_000, 943, 1_682, {"product_view": 100_000}),
    "cdnow": (69_659, 69_659, 23_570, 0, {"purchase": 69_659}),
    "completejourney": (75_000, 74_584, 2_373, 20_833, {"purchase": 74_584}),
    "online_retail": (1_044_847, 788_187, 5_852, 4_619, {"purchase": 788_187}),
    "ml1m": (1_000_209, 1_000_209, 6_040, 3_706, {"product_view": 1_000_209}),
}


@pytest.fixture
def lake(lake):
    """In memory: this is about what is read, not about the lake."""
    store = MemoryEventStore()
    build.override(event_store=store)
    return store


def take(name, data_dir, **options):
    folder = data_dir / FOLDERS.get(name, name)
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    preset = get_preset(name)
    (path,) = preset.files([folder])
    file = ImportFile(path=path, format=preset.format_of(path), header=preset.header)
    return import_files([file], preset.map, source=name, **options)


SLOW = ("online_retail", "ml1m")


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in KNOWN])
def test_known_counts(name, data_dir, lake):
    rows, events, users, items, types = KNOWN[name]
    result = take(name, data_dir)
    assert (result.rows, result.events, result.written, result.bad) == (rows, events, events, {})
    held = lake.scan(columns=["event_id", "event_type", "user_id", "product_id"]).collect()
    assert held["event_id"].n_unique() == held.height == events
    assert held["user_id"].n_unique() == users
    assert held["product_id"].drop_nulls().n_unique() == items
    assert dict(held["event_type"].value_counts().rows()) == types
    if name == "cdnow":  # the file's own sums
        money = lake.scan(columns=["unit_price", "data"]).collect()
        units = money["data"].str.json_path_match("$.units").cast(pl.Int64)
        assert (money["unit_price"].sum(), units.sum()) == (250_031_563, 167_881)


def test_all_are_tested():
    assert KNOWN.keys() == PRESETS.keys()


def test_an_export_of_the_set_in_another_format_is_the_same(data_dir, lake, tmp_path):
    take("retailrocket", data_dir)
    path = tmp_path / "events.csv"
    pl.read_parquet(data_dir / "retailrocket_events" / "events.parquet").reverse().write_csv(path)
    preset = get_preset("retailrocket")
    result = import_files([ImportFile(path=path, format=preset.format_of(path))], preset.map, source="retailrocket")
    assert (result.events, result.written) == (97_381, 0)


def test_sets_without_events_say_so():
    with pytest.raises(ConfigError, match="daily sales of stores"):
        get_preset("rossmann")
    with pytest.raises(ConfigError, match="Did you mean rossmann"):
        get_preset("rossman")
    assert get_preset("online-retail") is PRESETS["online_retail"]
