"""When tasks run: the shop's time zone, and the two days a year on which its clocks jump."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from ml_models.schedule import Times, schedule

BERLIN, DHAKA, KOLKATA = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Dhaka"), ZoneInfo("Asia/Kolkata")


def utc(*moment):
    return datetime(*moment, tzinfo=UTC)


@pytest.mark.parametrize(
    ("times", "zone", "now", "latest", "following"),
    [
        (Times("*/5"), BERLIN, utc(2025, 6, 1, 10, 7), utc(2025, 6, 1, 10, 5), utc(2025, 6, 1, 10, 10)),
        (Times("*/5"), BERLIN, utc(2025, 6, 1, 10, 5), utc(2025, 6, 1, 10, 5), utc(2025, 6, 1, 10, 10)),
        (Times(0), KOLKATA, utc(2025, 6, 1, 10, 7), utc(2025, 6, 1, 9, 30), utc(2025, 6, 1, 10, 30)),
        (Times(0, 2), DHAKA, utc(2025, 6, 1, 10, 7), utc(2025, 5, 31, 20), utc(2025, 6, 1, 20)),
        (Times(0, 2), DHAKA, utc(2025, 6, 1, 20), utc(2025, 6, 1, 20), utc(2025, 6, 2, 20)),
        # A Sunday in Dhaka begins on Saturday in UTC.
        (Times(0, 4, "sun"), DHAKA, utc(2025, 6, 4), utc(2025, 5, 31, 22), utc(2025, 6, 7, 22)),
        (Times(0, 2, "sat"), BERLIN, utc(2025, 6, 7, 0), utc(2025, 6, 7, 0), utc(2025, 6, 14, 0)),
        # 30 March: 02:00 does not exist and comes at 03:00. 26 October: it comes twice and counts once.
        (Times(0, 2), BERLIN, utc(2025, 3, 30, 0, 59), utc(2025, 3, 29, 1), utc(2025, 3, 30, 1)),
        (Times(0, 2), BERLIN, utc(2025, 3, 30, 12), utc(2025, 3, 30, 1), utc(2025, 3, 31, 0)),
        (Times(0, 2), BERLIN, utc(2025, 10, 26, 0, 30), utc(2025, 10, 26, 0), utc(2025, 10, 27, 1)),
    ],
)
def test_the_last_and_the_next_time(times, zone, now, latest, following):
    assert times.latest(now, zone) == latest
    assert times.next(now, zone) == following


@pytest.mark.parametrize(("day", "hours"), [((2025, 3, 30), 23), ((2025, 6, 1), 24), ((2025, 10, 26), 25)])
def test_what_runs_often_runs_through_the_jumps_of_the_clock(day, hours):
    start = datetime(*day, tzinfo=BERLIN).astimezone(UTC)
    for times, every in ((Times("*/5"), 5), (Times(0), 60)):
        seen, now = [], start - timedelta(seconds=1)
        while (now := times.next(now, BERLIN)) < start + timedelta(hours=hours):
            seen.append(now)
        assert seen == [start + timedelta(minutes=every * number) for number in range(hours * 60 // every)]


@pytest.mark.parametrize(("seconds", "minute"), [(300, "*/5"), (3600, "*/5"), (180, "*/3"), (60, "*/1"), (10, "*/1")])
def test_the_spool_is_read_as_often_as_an_event_may_wait(seconds, minute):
    assert schedule(seconds)["process_training_data"] == Times(minute)


def test_celery_and_the_worker_have_one_table():
    from ml_models.tasks import get_celery_beat_schedule

    now = datetime(2025, 6, 7, 9, 58, tzinfo=UTC)
    beat = get_celery_beat_schedule(flush_interval=120)
    assert set(beat) == {f"ml.{name}" for name in schedule()}
    for name, times in schedule(120).items():
        crontab = beat[f"ml.{name}"]["schedule"]
        moment = times.next(now, UTC)
        assert moment.minute in crontab.minute
        assert moment.hour in crontab.hour
        assert moment.isoweekday() % 7 in crontab.day_of_week
