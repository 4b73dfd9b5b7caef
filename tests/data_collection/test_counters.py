"""Counts survive the process that made them and add up over processes."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

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


def test_seven_days_are_counted_by_day_however_long_a_process_lives(tmp_path):
    with clock.use(clock.ManualClock(datetime(2025, 3, 10, 23, 0, tzinfo=UTC))) as now:
        counters.add("old", 5)
        counters.save(tmp_path)
        now.advance(hours=2)
        counters.add("track.403")
        counters.save(tmp_path)
        assert counters.totals(tmp_path) == {"old": 5, "track.403": 1}
        now.set(datetime(2025, 3, 16, 23, 59, tzinfo=UTC))
        assert counters.totals(tmp_path) == {"old": 5, "track.403": 1}
        now.advance(minutes=2)
        assert counters.totals(tmp_path) == {"track.403": 1}
        counters.add("track.403", 2)
        counters.save(tmp_path)
        assert counters.totals(tmp_path) == {"track.403": 3}
        assert counters.snapshot() == {"old": 5, "track.403": 3}
        assert len(list(tmp_path.iterdir())) == 1


def test_what_an_earlier_version_wrote_without_days_is_left_out(tmp_path):
    (tmp_path / "host-1-2.json").write_text('{"track.403": 9}')
    assert counters.totals(tmp_path) == {}


def test_old_files_go_half_written_ones_too(tmp_path):
    past = (clock.now() - timedelta(days=8)).timestamp()
    for name in ("host-1-2.json", "host-1-2.json.partial"):
        (tmp_path / name).write_text("{}")
        os.utime(tmp_path / name, (past, past))
    (tmp_path / "host-1-3.json.partial").write_text("{}")
    assert counters.totals(tmp_path) == {}
    assert len(list(tmp_path.iterdir())) == 3, "who only looks changes nothing"
    counters.add("new")
    counters.save(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
