import uuid
from datetime import UTC, datetime

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
