"""The contract of a spool: subclass and say how to make one.

```python
class TestFileSpool(SpoolContract):
    def make(self):
        return FileSpool(tempfile.mkdtemp())
```
"""

from __future__ import annotations

import random
import threading
from datetime import UTC, datetime

from ml_models.core import clock
from ml_models.core.ports import Spool

__all__ = ["SpoolContract", "drain"]


def drain(spool: Spool, after: dict[str, int] | None = None, *, size: int = 1000) -> list[bytes]:
    """Everything after the given positions, which are moved on in place."""
    after = {} if after is None else after
    records: list[bytes] = []
    for source in spool.sources():
        while True:
            found = spool.read(source, after.get(source, 0), size)
            if not found.records:
                break
            records += found.records
            after[source] = found.position
    return records


class SpoolContract:
    """What every implementation of `ml_models.core.ports.Spool` does."""

    def make(self) -> Spool:
        """An empty spool."""
        raise NotImplementedError("Return an empty spool of the implementation under test.")

    def test_an_empty_spool_has_nothing(self) -> None:
        spool = self.make()
        assert spool.sources() == []
        assert spool.stats()["records"] == 0
        assert spool.stats()["oldest_age_s"] == 0

    def test_appending_nothing_leaves_nothing(self) -> None:
        spool = self.make()
        spool.append([])
        assert spool.sources() == []

    def test_reads_back_what_was_appended_in_order(self) -> None:
        spool = self.make()
        given = [b"", b"a", "größe".encode(), bytes(range(256)), b"\x00" * 1000, b"x" * 70_000]
        spool.append(given[:2])
        spool.append(given[2:])
        (source,) = spool.sources()
        assert spool.read(source, 0, 100).records == given

    def test_a_position_leads_to_what_follows_it(self) -> None:
        spool = self.make()
        spool.append([b"%d" % number for number in range(10)])
        (source,) = spool.sources()
        first = spool.read(source, 0, 4)
        assert first.records == [b"0", b"1", b"2", b"3"]
        rest = spool.read(source, first.position, 100)
        assert rest.records == [b"4", b"5", b"6", b"7", b"8", b"9"]
        assert spool.read(source, first.position, 2).records == [b"4", b"5"]
        end = spool.read(source, rest.position, 100)
        assert (end.records, end.position) == ([], rest.position)

    def test_positions_grow_by_at_least_one_a_record(self) -> None:
        spool = self.make()
        spool.append([b""] * 5)
        (source,) = spool.sources()
        position = 0
        for _ in range(5):
            found = spool.read(source, position, 1)
            assert found.position > position
            position = found.position

    def test_a_source_keeps_its_name(self) -> None:
        spool = self.make()
        spool.append([b"a"])
        before = spool.sources()
        spool.append([b"b"])
        assert spool.sources() == before

    def test_trimmed_records_count_no_more_and_the_rest_stays(self) -> None:
        spool = self.make()
        spool.append([b"%d" % number for number in range(6)])
        (source,) = spool.sources()
        half = spool.read(source, 0, 3)
        spool.trim(source, half.position)
        assert spool.stats()["records"] == 3
        assert spool.read(source, half.position, 10).records == [b"3", b"4", b"5"]

    def test_half_a_batch_can_be_read_trimmed_and_gone_on_from(self) -> None:
        spool = self.make()
        spool.append([b"1", b"2", b"3"])
        spool.append([b"4", b"5"])
        (source,) = spool.sources()
        first = spool.read(source, 0, 2)
        spool.trim(source, first.position)
        second = spool.read(source, first.position, 2)
        assert second.records == [b"3", b"4"]
        spool.trim(source, second.position)
        spool.trim(source, first.position)  # by a rival that is behind
        assert spool.stats()["records"] == 1
        assert spool.read(source, second.position, 10).records == [b"5"]

    def test_two_readers_find_the_same_records_at_the_same_positions(self) -> None:
        spool = self.make()
        for batch in range(5):
            spool.append([b"%d:%d" % (batch, number) for number in range(3)])
        (source,) = spool.sources()
        found = []
        for size in (1, 4):
            position, seen = 0, {}
            while (part := spool.read(source, position, size)).records:
                seen[part.position] = part.records[-1]
                position = part.position
            found.append(seen)
        one_by_one, by_four = found
        assert len(one_by_one) == 15
        assert by_four.items() <= one_by_one.items()

    def test_an_unknown_source_gives_nothing(self) -> None:
        spool = self.make()
        spool.append([b"a"])
        found = spool.read("file:00000000:999", 7, 10)
        assert (found.records, found.position) == ([], 7)

    def test_positions_go_on_after_everything_was_trimmed(self) -> None:
        spool = self.make()
        spool.append([b"old"])
        (source,) = spool.sources()
        position = spool.read(source, 0, 10).position
        spool.trim(source, position)
        assert spool.sources() == []
        spool.append([b"new"])
        assert spool.sources() == [source]
        found = spool.read(source, position, 10)
        assert found.records == [b"new"]
        assert found.position > position

    def test_trimming_an_unknown_source_does_nothing(self) -> None:
        spool = self.make()
        spool.append([b"a"])
        spool.trim("file:00000000:999", 10)
        assert drain(spool) == [b"a"]

    def test_scrubbing_what_the_lake_has_leaves_the_rest(self) -> None:
        spool = self.make()
        spool.append([b"needle-%d" % number for number in range(6)])
        (source,) = spool.sources()
        half = spool.read(source, 0, 3)
        spool.trim(source, half.position)
        spool.scrub(lambda name: half.position if name == source else 0)
        assert spool.read(source, half.position, 10).records == [b"needle-3", b"needle-4", b"needle-5"]
        end = spool.read(source, half.position, 10).position
        spool.trim(source, end)
        spool.scrub(lambda name: end if name == source else 0)
        assert spool.scrub(lambda name: end if name == source else 0).overwritten == 0
        spool.append([b"new"])
        assert spool.read(source, end, 10).records == [b"new"]

    def test_says_what_waits_and_how_long(self) -> None:
        manual = clock.ManualClock(datetime(2025, 1, 1, tzinfo=UTC))
        with clock.use(manual):
            spool = self.make()
            spool.append([b"abc"])
            manual.advance(seconds=90)
            spool.append([b"de"])
            stats = spool.stats()
        assert stats["records"] == 2
        assert stats["bytes"] >= 5
        assert stats["oldest_age_s"] == 90
        assert stats["sources"] == spool.sources()

    def test_threads_lose_and_double_nothing(self) -> None:
        spool = self.make()

        def work(name: int) -> None:
            for number in range(40):
                spool.append([b"%d:%d:%d" % (name, number, part) for part in range(3)])

        threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = drain(spool)
        for name in range(6):
            mine = [record for record in found if record.startswith(b"%d:" % name)]
            assert mine == [b"%d:%d:%d" % (name, number, part) for number in range(40) for part in range(3)]
        assert len(found) == 6 * 40 * 3

    def test_any_order_of_appends_reads_and_trims_gives_each_record_once(self) -> None:
        for seed in range(20):
            rng = random.Random(seed)
            spool = self.make()
            given: list[bytes] = []
            taken: list[bytes] = []
            after: dict[str, int] = {}
            for _ in range(40):
                action = rng.random()
                if action < 0.5:
                    records = [rng.randbytes(rng.randrange(200)) for _ in range(rng.randrange(1, 5))]
                    spool.append(records)
                    given += records
                elif action < 0.8:
                    for source in spool.sources():
                        found = spool.read(source, after.get(source, 0), rng.randrange(1, 6))
                        taken += found.records
                        after[source] = found.position
                else:
                    for source, position in after.items():
                        spool.trim(source, position)
            taken += drain(spool, after)
            assert taken == given
