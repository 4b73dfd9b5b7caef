"""Every order exactly once in the lake, however often the processes that bring it there are killed."""

import json
import os
import subprocess
import sys
from urllib.parse import quote

import pytest
from django.db import connection

from tests.house.fresh import ROOT
from tests.waiting import GENEROUS

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


def database_url():
    """The database of this test, for another process; empty for SQLite, which is in this one's memory."""
    if connection.vendor != "postgresql":
        return ""
    named = connection.settings_dict
    user = f"{quote(named['USER'], '')}:{quote(named['PASSWORD'], '')}@" if named["USER"] else ""
    port = f":{named['PORT']}" if named["PORT"] else ""
    return f"postgres://{user}{named['HOST']}{port}/{named['NAME']}"


@pytest.mark.parametrize("kind", ["mapped", "unmapped"])
def test_a_killed_drain_loses_no_order_and_writes_none_twice(tmp_path, kind):
    seed = int.from_bytes(os.urandom(2), "big")
    environment = {**os.environ, "DATABASE_URL": database_url(), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "tests.data_collection.outbox_kill_story", kind, str(tmp_path), str(seed)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=GENEROUS, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    named = {"before the commit", "after the commit", "before the deletion", "after the deletion"}
    assert named <= found["kills"].keys(), found
    assert found["left by kills"] > 0, "nothing was ever left to do again"
    outcome = {name: found[name] for name in ("lost", "twice", "of orders rolled back", "waiting", "crashes")}
    assert outcome == {"lost": [], "twice": [], "of orders rolled back": [], "waiting": 0, "crashes": 0}, (
        f"seed {seed}: {found}\n{done.stderr[-3000:]}"
    )
