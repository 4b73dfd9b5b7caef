"""Counts survive the process that made them and add up over processes."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest

from ml_models.core import clock
from ml_models.data_collection import counters
from tests.waiting import GENEROUS


@pytest.fixture(autouse=True)
def _fresh():
    counters.reset()
    yield
    counters.reset()


CHILD = """
import sys
from pathlib import Path
from ml_models.data_collection import counters
counters.add("overflow.queue_full", 2)
counters.save(Path(sys.argv[1]))
"""


def test_counts_of_processes_add_up(tmp_path):
    counters.add("overflow.queue_full")
    counters.add("track.403", 5)
    counters.save(tmp_path)
    subprocess.run([sys.executable, "-c", CHILD, str(tmp_path)], check=True, timeout=GENEROUS)
    assert counters.totals(tmp_path) == {"track.403": 5, "overflow.queue_full": 3}
    counters.add("track.403")
    counters.save(tmp_path)
    assert counters.totals(tmp_path)["track.403"] == 6, "a process has one file"
    assert len(list(tmp_path.iterdir())) == 2


def test_nothing_counted_writes_nothing(tmp_path):
    counters.save(tmp_path / "counters")
    assert not (tmp_path / "counters").exists()
    assert counters.totals(tmp_path / "counters") == {}


def test_what_could_not_be_written_is_written_with_the_next_save(tmp_path):
    counters.add("overflow.queue_full", 3)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        counters.save(tmp_path / "file" / "counters")
    assert counters.unsaved()
    counters.save(tmp_path)
    assert counters.totals(tmp_path) == {"overflow.queue_full": 3}


def test_old_files_go(tmp_path):
    counters.add("old")
    counters.save(tmp_path)
    (path,) = tmp_path.iterdir()
    past = (clock.now() - timedelta(days=8)).timestamp()
    os.utime(path, (past, past))
    assert counters.totals(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []
