import csv
import gzip
import io
from pathlib import Path

import pytest

from ml_models.adapters import build
from ml_models.adapters.event_store import DeltaEventStore
from ml_models.data_collection.importer.mapping import ColumnMap
from ml_models.data_collection.importer.run import ImportFile, import_files

COLUMNS = {"user": "customer", "item": "sku", "time": "when", "quantity": "pieces", "price": "price"}


@pytest.fixture
def lake(tmp_path, settings, db):
    """A lake, spool and dead letters of the test's own; the database says who is forgotten."""
    settings.ML_STORAGE = {"data": tmp_path / "ml"}
    build.reset()
    store = DeltaEventStore(tmp_path / "ml" / "lake")
    build.override(event_store=store)
    yield store
    build.reset()


@pytest.fixture
def purchases():
    return ColumnMap(columns=COLUMNS, event_type="purchase", currency="EUR", timezone="Europe/Berlin")


@pytest.fixture
def write(tmp_path):
    """Write rows to a CSV in the test's folder; gzip by the name."""

    def write(name: str, rows, header=("customer", "sku", "when", "pieces", "price"), delimiter=",") -> Path:
        text = io.StringIO()
        writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
        path = tmp_path / name
        data = text.getvalue().encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


@pytest.fixture
def run():
    """Import files by their paths."""

    def run(columns, *paths, format="csv", **options):
        return import_files([ImportFile(path=path, format=format) for path in paths], columns, **options)

    return run
