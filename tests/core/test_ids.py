import os
import subprocess
import sys
import uuid
from datetime import UTC, datetime

import pytest

from ml_models.core import clock
from ml_models.core.ids import uuid7


def test_is_a_version_7_uuid_in_its_usual_spelling():
    for _ in range(200):
        text = uuid7()
        parsed = uuid.UUID(text)
        assert str(parsed) == text
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)


def test_begins_with_the_milliseconds_of_the_clock_in_force():
    with clock.use(clock.ManualClock(datetime(1970, 1, 1, 0, 0, 1, 234_000, tzinfo=UTC))):
        assert uuid7().startswith("00000000-04d2-7")  # 1234


def test_is_never_the_same():
    assert len({uuid7() for _ in range(2000)}) == 2000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_parent_and_child_never_make_the_same():
    uuid7()
    code = """
import os
from ml_models.core.ids import uuid7
uuid7()
pid = os.fork()
tails = {uuid7()[24:] for _ in range(300)}
if pid:
    os.waitpid(pid, 0)
print(*tails, flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(set(done.stdout.split())) == 600
