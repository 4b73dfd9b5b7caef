import errno
import os
import threading
from datetime import UTC, datetime, timedelta

import pytest

from ml_models.adapters.dead_letters import DeadLetters, Letter
from ml_models.core import clock
from ml_models.core.errors import InvalidEvent, SpoolError, StoreError

START = datetime(2025, 1, 1, tzinfo=UTC)


def test_keeps_what_was_refused_with_the_reason(tmp_path):
    letters = DeadLetters(tmp_path)
    with clock.use(clock.ManualClock(START)):
        letters.write("wrong_type", "quantity", '{"größe": 1}\n'.encode(), detail="Expected int")
        letters.write("not_msgpack", "", b"\xc1\xff\n", kind="record", context={"source": "file:1:000"})
    first, second = letters
    assert (first.at, first.reason, first.path, first.detail) == (START, "wrong_type", "quantity", "Expected int")
    assert first.raw == '{"größe": 1}\n'.encode()
    assert (second.kind, second.raw, second.context) == ("record", b"\xc1\xff\n", {"source": "file:1:000"})
    stats = letters.stats()
    assert (stats["letters"], stats["oldest"], stats["dropped"]) == (2, START, 0)
    assert stats["by_reason"] == {"wrong_type": 1, "not_msgpack": 1}


def test_an_empty_folder_has_none(tmp_path):
    letters = DeadLetters(tmp_path / "none")
    assert list(letters) == []
    assert letters.stats()["letters"] == 0
    assert letters.prune() == 0


def test_amount_is_bounded_and_what_went_is_counted(tmp_path):
    letters = DeadLetters(tmp_path, segment_bytes=1000, max_bytes=5000)
    for number in range(200):
        letters.write("bad", "", b"%03d" % number + b"x" * 100)
    kept = list(letters)
    stats = letters.stats()
    assert stats["bytes"] <= 5000
    assert len(kept) + stats["dropped"] == 200
    assert kept[-1].raw.startswith(b"199")  # the newest stay
    assert [letter.raw for letter in kept] == sorted(letter.raw for letter in kept)


def test_age_is_bounded(tmp_path):
    manual = clock.ManualClock(START)
    letters = DeadLetters(tmp_path, max_age=timedelta(days=30))
    with clock.use(manual):
        letters.write("bad", "", b"old")
        manual.advance(days=20)
        letters.write("bad", "", b"young")
        assert letters.prune() == 0
        manual.advance(days=11)
        assert letters.prune() == 1
    assert [letter.raw for letter in letters] == [b"young"]


def test_a_line_torn_by_a_kill_hides_nothing(tmp_path):
    letters = DeadLetters(tmp_path)
    letters.write("bad", "", b"one")
    (path,) = tmp_path.glob("*.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:20])
    letters.write("bad", "", b"two")
    assert [letter.raw for letter in letters] == [b"one", b"two"]


def test_replay_removes_what_is_accepted_and_keeps_the_rest(tmp_path):
    letters = DeadLetters(tmp_path, segment_bytes=300)
    for number in range(10):
        letters.write("bad", "", b"%d" % number)
    taken = []

    def accept(letter: Letter) -> None:
        if int(letter.raw) % 2:
            raise InvalidEvent("still_bad")
        letters.write("new", "", b"100")  # writing goes on meanwhile
        taken.append(letter.raw)

    done = letters.replay(accept)
    assert (done.accepted, done.refused) == (5, 5)
    assert taken == [b"0", b"2", b"4", b"6", b"8"]
    assert sorted(letter.raw for letter in letters) == sorted([b"1", b"3", b"5", b"7", b"9", *[b"100"] * 5])


def test_a_replay_that_breaks_off_loses_nothing(tmp_path):
    letters = DeadLetters(tmp_path)
    for number in range(4):
        letters.write("bad", "", b"%d" % number)

    def accept(letter: Letter) -> None:
        if letter.raw == b"2":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        letters.replay(accept)
    assert [letter.raw for letter in letters] == [b"0", b"1", b"2", b"3"]
    assert letters.replay(lambda letter: None).accepted == 4


def test_a_full_disk_is_a_sentence(tmp_path, monkeypatch):
    letters = DeadLetters(tmp_path)

    def full(descriptor, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreError, match="Free space"):
        letters.write("wrong_type", "x", b"{}")


def test_pruning_does_not_mind_what_a_replay_took(tmp_path, monkeypatch):
    letters = DeadLetters(tmp_path, segment_bytes=1)
    for _ in range(3):
        letters.write("wrong_type", "x", b"{}")
    segments = letters._segments()
    segments[0].unlink()
    monkeypatch.setattr(letters, "_segments", lambda: segments)
    assert letters.prune() == 0


def test_a_full_spool_leaves_the_letters(tmp_path):
    letters = DeadLetters(tmp_path)
    letters.write("bad", "", b"x")

    def accept(letter: Letter) -> None:
        raise SpoolError("The disk is full.")

    assert letters.replay(accept).refused == 1
    assert len(list(letters)) == 1


def test_threads_write_whole_lines(tmp_path):
    letters = DeadLetters(tmp_path, segment_bytes=2000)
    threads = [
        threading.Thread(target=lambda: [letters.write("bad", "", b"y" * 50) for _ in range(25)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(letters)) == 100


def test_erasing_removes_what_is_named_and_keeps_the_rest(tmp_path):
    letters = DeadLetters(tmp_path, segment_bytes=300)
    for number in range(20):
        letters.write("bad", "", b"mine" if number % 3 == 0 else b"other %d" % number)
    (tmp_path / "00000001-20250101.partial").write_bytes(b"mine, of a killed replay")
    segment = sorted(tmp_path.glob("*.jsonl"))[-1]
    with segment.open("ab") as file:
        file.write(b'{"at": "half of mine')

    def erase(**options):
        return letters.erase(lambda letter: letter.raw == b"mine", lambda line: b"mine" in line, **options)

    before = {path: path.read_bytes() for path in tmp_path.glob("0*")}
    assert erase(dry_run=True) == 8
    assert {path: path.read_bytes() for path in tmp_path.glob("0*")} == before
    assert erase() == 8
    assert erase() == 0
    assert [letter.raw for letter in letters] == [b"other %d" % number for number in range(20) if number % 3]
    assert not any(b"mine" in path.read_bytes() for path in tmp_path.iterdir())
    letters.write("bad", "", b"next")
    assert [letter.raw for letter in letters][-1] == b"next"


def test_a_whole_segment_may_go(tmp_path):
    letters = DeadLetters(tmp_path)
    letters.write("bad", "", b"mine")
    assert letters.erase(lambda letter: True, lambda line: True) == 1
    assert list(letters) == []
    letters.write("bad", "", b"next")
    assert [letter.raw for letter in letters] == [b"next"]
