import errno
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_models.adapters import spool_file, spool_slot
from ml_models.adapters.spool_file import FileSpool
from ml_models.adapters.spool_frames import FRAME, HEAD, frames, parse
from ml_models.core.errors import SpoolError
from ml_models.testing.spool import SpoolContract, drain


def run(script: str, *arguments: object, **kwargs) -> subprocess.Popen:
    """Start a Python process of its own."""
    code = textwrap.dedent(script)
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True, **kwargs
    )


def the_slot(folder: Path) -> Path:
    (name,) = spool_slot.slots(folder)
    return folder / name


class TestFileSpool(SpoolContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder = tmp_path
        self.made = []
        yield
        for spool in self.made:
            spool.close()

    def make(self):
        # Small segments, so that every test of the contract goes over their edges.
        self.made.append(FileSpool(self.folder / f"spool{len(self.made)}", segment_bytes=300))
        return self.made[-1]


class TestFrames:
    @given(st.lists(st.binary(max_size=40), max_size=6), st.integers(0, 2**32 - 1), st.data())
    def test_a_tail_torn_anywhere_costs_only_the_torn_record(self, records, salt, data):
        stream = frames(records, salt, 0)
        cut = data.draw(st.integers(0, len(stream)))
        ends = [len(frames(records[: number + 1], salt, 0)) for number in range(len(records))]
        whole = sum(end <= cut for end in ends)
        parsed = parse(stream[:cut], salt, at_end=True)
        assert parsed.records == records[:whole]
        assert parsed.consumed == ([0, *ends][whole])

    @given(st.lists(st.binary(max_size=40), min_size=2, max_size=6), st.data())
    def test_damage_costs_one_record_and_never_a_later_one(self, records, data):
        stream = bytearray(frames(records, 7, 0))
        at = data.draw(st.integers(0, len(stream) - 1))
        stream[at] ^= data.draw(st.integers(1, 255))
        ends = [len(frames(records[: number + 1], 7, 0)) for number in range(len(records))]
        hit = sum(end <= at for end in ends)
        left = records[:hit] + records[hit + 1 :]
        # The four bytes of a frame's time may change unseen: they are no part of the record.
        assert parse(bytes(stream), 7, at_end=True).records in (left, records)

    @given(st.lists(st.binary(max_size=40), max_size=6), st.integers(1, 60))
    def test_reading_in_stretches_gives_the_same(self, records, step):
        stream = frames(records, 3, 0)
        found, start, size = [], 0, step
        while start < len(stream):
            piece = stream[start : start + size]
            parsed = parse(piece, 3, at_end=start + len(piece) == len(stream))
            found += parsed.records
            start += parsed.consumed
            size = step if parsed.consumed else size + step
        assert found == records

    def test_a_record_cannot_pass_for_a_frame(self):
        forged = frames([b"forged"], 1, 0)  # the visitor guessed wrong: the segment's salt is 2
        torn = frames([forged + b"x" * 50], 2, 0)[:-1]
        assert parse(torn, 2, at_end=True).records == []
        assert parse(torn + frames([b"next"], 2, 0), 2, at_end=True).records == [b"next"]


class TestOwnership:
    def test_two_owners_at_once_have_two_slots_and_the_next_takes_over(self, tmp_path):
        first, second = FileSpool(tmp_path), FileSpool(tmp_path)
        first.append([b"a"])
        second.append([b"b"])
        assert len(first.sources()) == 2
        first.close()
        third = FileSpool(tmp_path)
        third.append([b"c"])
        assert len(third.sources()) == 2
        assert sorted(drain(third)) == [b"a", b"b", b"c"]

    def test_the_number_of_slots_is_bounded(self, tmp_path):
        spools = [FileSpool(tmp_path, max_slots=2) for _ in range(3)]
        spools[0].append([b"a"])
        spools[1].append([b"b"])
        with pytest.raises(SpoolError, match="All 2 slots"):
            spools[2].append([b"c"])
        spools[0].close()
        spools[2].append([b"c"])
        assert sorted(drain(spools[2])) == [b"a", b"b", b"c"]

    def test_a_killed_owners_slot_goes_to_the_next_and_keeps_what_it_had(self, tmp_path):
        for number in range(3):
            process = run(
                """
                import sys, time
                from ml_models.adapters.spool_file import FileSpool
                FileSpool(sys.argv[1]).append([sys.argv[2].encode()])
                print("done", flush=True)
                time.sleep(60)
                """,
                tmp_path,
                number,
            )
            assert process.stdout.readline() == "done\n"
            process.send_signal(signal.SIGKILL)
            process.communicate()
        spool = FileSpool(tmp_path)
        assert len(spool.sources()) == 1
        assert drain(spool) == [b"0", b"1", b"2"]

    def test_a_fork_gets_a_slot_of_its_own(self, tmp_path):
        process = run(
            """
            import os, sys
            from ml_models.adapters.spool_file import FileSpool
            spool = FileSpool(sys.argv[1])
            spool.append([b"parent 1"])
            child = os.fork()
            if child == 0:
                spool.append([b"child 1"])
                spool.append([b"child 2"])
                os._exit(0)
            spool.append([b"parent 2"])
            os.waitpid(child, 0)
            spool.append([b"parent 3"])
            """,
            tmp_path,
        )
        process.communicate()
        assert process.returncode == 0
        spool = FileSpool(tmp_path)
        found = [drain_of(spool, source) for source in spool.sources()]
        assert found == [[b"parent 1", b"parent 2", b"parent 3"], [b"child 1", b"child 2"]]

    def test_a_child_that_outlives_its_parent_does_not_hold_the_slot(self, tmp_path):
        process = run(
            """
            import os, sys, time
            from ml_models.adapters.spool_file import FileSpool
            spool = FileSpool(sys.argv[1])
            spool.append([b"parent"])
            if os.fork() == 0:
                print("forked", flush=True)
                time.sleep(60)
            time.sleep(60)
            """,
            tmp_path,
            start_new_session=True,
        )
        try:
            assert process.stdout.readline() == "forked\n"
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            spool = FileSpool(tmp_path)
            spool.append([b"next"])
            assert len(spool.sources()) == 1
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.stdout.close()

    def test_an_append_after_closing_takes_a_slot_anew(self, tmp_path):
        spool = FileSpool(tmp_path)
        spool.append([b"a"])
        held = spool._owned()
        spool.close()
        rival = FileSpool(tmp_path)
        rival.append([b"b"])
        with pytest.raises(spool_slot.SlotLost):
            held.append([b"into the rival's slot"])
        spool.append([b"c"])
        assert len(spool.sources()) == 2
        assert sorted(drain(spool)) == [b"a", b"b", b"c"]

    def test_a_removed_folder_is_noticed_and_becomes_another_source(self, tmp_path):
        spool = FileSpool(tmp_path / "spool")
        spool.append([b"lost with the folder"])
        before = spool.sources()
        for path in the_slot(spool.folder).iterdir():
            path.unlink()
        the_slot(spool.folder).rmdir()
        spool.append([b"kept"])
        assert drain(spool) == [b"kept"]
        assert spool.sources() != before

    def test_a_file_system_without_locks_is_an_error_that_leaves_no_descriptor_open(self, tmp_path, monkeypatch):
        FileSpool(tmp_path).append([b"one"])

        def refuse(descriptor, operation):
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(spool_slot.fcntl, "flock", refuse)
        before = open_descriptors()
        with pytest.raises(SpoolError, match="No locks available"):
            FileSpool(tmp_path).append([b"two"])
        assert open_descriptors() == before


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def drain_of(spool: FileSpool, source: str) -> list[bytes]:
    return spool.read(source, 0, 1000).records


class TestDurability:
    def test_threads_share_a_sync(self, tmp_path, monkeypatch):
        calls = []
        original = os.fdatasync

        def slow(descriptor):
            calls.append(descriptor)
            time.sleep(0.01)
            original(descriptor)

        monkeypatch.setattr(os, "fdatasync", slow)
        spool = FileSpool(tmp_path)
        threads = [threading.Thread(target=lambda: [spool.append([b"x"]) for _ in range(10)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(drain(spool)) == 80
        assert len(calls) <= 40  # alone each append would need its own

    def test_nothing_is_acknowledged_before_its_sync(self, tmp_path, monkeypatch):
        order = []
        original = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", lambda fd: (order.append("sync"), original(fd)))
        spool = FileSpool(tmp_path)
        for _ in range(3):
            spool.append([b"x"])
            order.append("acknowledged")
        assert order == ["sync", "acknowledged"] * 3

    def test_a_new_segments_number_is_on_disk_before_its_first_record(self, tmp_path, monkeypatch):
        synced = []
        original = spool_slot._sync_folder

        def sync_folder(folder):
            synced.append((folder.name, [path.stat().st_size for path in folder.glob("*.seg")]))
            original(folder)

        monkeypatch.setattr(spool_slot, "_sync_folder", sync_folder)
        spool = FileSpool(tmp_path / "spool")
        spool.append([b"x"])
        assert synced[-1] == (the_slot(spool.folder).name, [len(HEAD)])

    def test_a_full_disk_is_an_error_and_leaves_no_half_record(self, tmp_path):
        process = run(
            """
            import resource, sys
            from pathlib import Path
            from ml_models.adapters.spool_file import FileSpool
            from ml_models.core.errors import SpoolError
            spool = FileSpool(sys.argv[1])
            spool.append([b"before"])
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
            try:
                spool.append([b"fits" * 50, b"x" * 2000])
            except SpoolError as error:
                print(error)
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
            spool.append([b"after"])
            """,
            tmp_path,
        )
        out, _ = process.communicate()
        assert process.returncode == 0
        assert "nothing was acknowledged" in out
        spool = FileSpool(tmp_path)
        assert drain(spool) == [b"before", b"after"]

    def test_a_full_disk_at_a_new_segment_costs_nothing(self, tmp_path, monkeypatch):
        spool = FileSpool(tmp_path, segment_bytes=1)
        spool.append([b"a"])

        def full(descriptor, data):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            for _ in range(3):
                with pytest.raises(SpoolError, match="Free space"):
                    spool.append([b"b"])
        assert len(list(the_slot(tmp_path).glob("*.seg"))) == 1
        spool.append([b"c"])
        assert drain(spool) == [b"a", b"c"]

    @pytest.mark.parametrize("hint", [True, False])
    def test_numbers_go_on_where_a_trim_meets_a_full_disk(self, tmp_path, monkeypatch, hint):
        spool, committer = FileSpool(tmp_path, segment_bytes=1), FileSpool(tmp_path)
        for record in (b"a", b"b"):
            spool.append([record])
        (source,) = spool.sources()
        position = spool.read(source, 0, 10).position

        def full(descriptor, data):
            monkeypatch.undo()
            committer.trim(source, position)  # while the new segment is there and its head cannot be written
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(SpoolError, match="Free space"):
            spool.append([b"c"])
        if not hint:
            (the_slot(tmp_path) / "trimmed").unlink()
        spool.append([b"d"])
        assert committer.read(source, position, 10).records == [b"d"]
        assert committer.sources() == [source]

    def test_a_trim_needs_no_space(self, tmp_path, monkeypatch):
        spool = FileSpool(tmp_path, segment_bytes=1)
        for record in (b"a", b"b"):
            spool.append([record])
        (source,) = spool.sources()

        def full(path, text):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Path, "write_text", full)
        spool.trim(source, spool.read(source, 0, 10).position)
        assert len(list(the_slot(tmp_path).glob("*.seg"))) == 1

    def test_after_a_failed_sync_no_position_comes_again(self, tmp_path, monkeypatch):
        spool = FileSpool(tmp_path)
        spool.append([b"a"])
        (source,) = spool.sources()
        seen = []

        def broken(descriptor):
            seen.append(spool.read(source, 0, 10))  # a reader is faster than the failing sync
            raise OSError(errno.EIO, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", broken)
            with pytest.raises(SpoolError, match="nothing was acknowledged"):
                spool.append([b"refused"])
        assert seen[0].records == [b"a", b"refused"]
        spool.append([b"b"])
        assert spool.read(source, seen[0].position, 10).records == [b"b"]

    def test_all_threads_that_wait_for_a_failed_sync_are_told(self, tmp_path, monkeypatch):
        spool = FileSpool(tmp_path)
        spool.append([b"a"])
        entered = threading.Event()

        def broken(descriptor):
            entered.set()
            time.sleep(0.1)
            raise OSError(errno.EIO, "Input/output error")

        outcomes = []

        def work(record):
            try:
                spool.append([record])
                outcomes.append("stored")
            except SpoolError:
                outcomes.append("refused")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", broken)
            threads = [threading.Thread(target=work, args=(b"%d" % number,)) for number in range(4)]
            threads[0].start()
            entered.wait()
            for thread in threads[1:]:
                thread.start()
            for thread in threads:
                thread.join()
        assert outcomes == ["refused"] * 4
        spool.append([b"b"])
        assert drain(spool)[0] == b"a"
        assert drain(spool)[-1] == b"b"

    def test_a_record_that_no_segment_takes_is_refused_alone(self, tmp_path):
        spool = FileSpool(tmp_path)
        with pytest.raises(SpoolError, match="larger than"):
            spool.append([b"x" * (1 << 20) + b"x"])
        spool.append([b"x" * (1 << 20)])
        assert [len(record) for record in drain(spool)] == [1 << 20]


class TestReading:
    def test_segments_are_deleted_as_they_are_trimmed_but_never_the_newest(self, tmp_path):
        spool = FileSpool(tmp_path, segment_bytes=64)
        for number in range(10):
            spool.append([b"%d" % number * 64])
        (source,) = spool.sources()
        numbers = spool_slot.segments(the_slot(tmp_path))
        position = spool.read(source, 0, 5).position
        spool.trim(source, position)
        assert len(spool_slot.segments(the_slot(tmp_path))) == len(numbers) - 5
        spool.trim(source, spool.read(source, position, 100).position)
        assert spool_slot.segments(the_slot(tmp_path)) == numbers[-1:]
        spool.close()
        again = FileSpool(tmp_path)
        again.append([b"new"])
        assert max(spool_slot.segments(the_slot(tmp_path))) == numbers[-1] + 1

    def test_damage_is_passed_over_and_counted(self, tmp_path):
        spool = FileSpool(tmp_path)
        spool.append([b"one", b"two", b"three"])
        (path,) = the_slot(tmp_path).glob("*.seg")
        content = bytearray(path.read_bytes())
        content[content.index(b"two")] ^= 0xFF
        path.write_bytes(content)
        reader = FileSpool(tmp_path)
        assert drain(reader) == [b"one", b"three"]
        assert reader.stats()["damaged_bytes"] >= FRAME.size + 3

    def test_reads_more_than_one_stretch(self, tmp_path):
        spool = FileSpool(tmp_path)
        given_records = [bytes([number]) * 900_000 for number in range(30)]
        for record in given_records:
            spool.append([record])
        (source,) = spool.sources()
        first = spool.read(source, 0, 1000)
        assert 5 <= len(first.records) < 30  # bounded memory
        assert first.records + drain(spool, {source: first.position}) == given_records

    def test_a_read_is_bounded_over_several_stretches(self, tmp_path, monkeypatch):
        monkeypatch.setattr(spool_file, "_READ_BYTES", 1000)
        spool = FileSpool(tmp_path)
        spool.append([b"%03d" % number + b"x" * 97 for number in range(100)])
        (source,) = spool.sources()
        at, seen = 0, []
        while (found := spool.read(source, at, 12)).records:
            assert len(found.records) <= 12
            at = found.position
            seen += [record[:3] for record in found.records]
        assert seen == [b"%03d" % number for number in range(100)]


class TestCrashes:
    """Any order of appends, kills, power cuts, reads and trims: what was acknowledged arrives exactly once."""

    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("append"), st.integers(1, 4), st.integers(0, 60)),
                st.tuples(st.just("kill"), st.integers(0, 80), st.just(0)),
                st.tuples(st.just("power"), st.integers(0, 200), st.booleans()),
                st.tuples(st.just("read"), st.integers(1, 5), st.just(0)),
                st.tuples(st.just("trim"), st.just(0), st.just(0)),
            ),
            max_size=30,
        )
    )
    def test_nothing_acknowledged_is_lost_or_doubled(self, tmp_path_factory, steps):
        folder = tmp_path_factory.mktemp("spool")
        spool = FileSpool(folder, segment_bytes=150)
        lake: dict[str, int] = {}
        acknowledged: list[bytes] = []
        arrived: list[bytes] = []
        serial = 0

        def read(limit: int) -> None:
            for source in spool.sources():
                found = spool.read(source, lake.get(source, 0), limit)
                arrived.extend(found.records)
                lake[source] = found.position

        for action, size, extra in steps:
            if action == "append":
                records = [b"%06d" % (serial + number) + b"." * extra for number in range(size)]
                serial += size
                spool.append(records)
                acknowledged += records
            elif action == "read":
                read(size)
            elif action == "trim":
                for source, position in lake.items():
                    spool.trim(source, position)
            else:
                # The owner dies in the middle of an append that nobody acknowledges.
                acknowledged.append(b"%06d" % serial)
                spool.append(acknowledged[-1:])
                slot = the_slot(folder)
                number = max(spool_slot.segments(slot))
                path = spool_slot.segment_path(slot, number)
                safe = path.stat().st_size
                unsynced = frames(
                    [b"%06d unsynced" % serial, b"%030d unsynced" % serial], spool_slot.salt_of(slot, number), 0
                )
                serial += 1
                spool.close()
                with path.open("ab") as file:
                    file.write(unsynced[:size])
                if action == "power":
                    if extra:
                        read(10)  # a reader took what was not on disk yet
                    os.truncate(path, safe + min(size // 3, len(unsynced[:size])))
                spool = FileSpool(folder, segment_bytes=150)
        while True:
            before = len(arrived)
            read(100)
            if len(arrived) == before:
                break
        spool.close()
        assert len(arrived) == len(set(arrived))
        extra_records = [record for record in arrived if record not in set(acknowledged)]
        assert all(b"unsynced" in record for record in extra_records)
        assert [record for record in arrived if record in set(acknowledged)] == acknowledged


class TestScrub:
    """Bytes that the lake has are unreadable afterwards, and nothing else is touched."""

    @staticmethod
    def raw(folder):
        return b"".join(path.read_bytes() for path in sorted(folder.rglob("*.seg")))

    @staticmethod
    def done(spool):
        """Read everything, as the lake would have it; position by source."""
        positions = {}
        for source in spool.sources():
            positions[source] = spool.read(source, 0, 1000).position
            spool.trim(source, positions[source])
        return lambda source: positions.get(source, 0)

    def test_the_newest_segment_of_a_live_writer(self, tmp_path):
        spool = FileSpool(tmp_path)
        spool.append([b"needle", b"other"])
        position = self.done(spool)
        spool.append([b"waits"])
        assert spool.scrub(position).overwritten > len(b"needle")
        raw = self.raw(tmp_path)
        assert b"needle" not in raw
        assert b"waits" in raw
        spool.append([b"more"])
        (source,) = spool.sources()
        assert spool.read(source, position(source), 10).records == [b"waits", b"more"]
        assert (spool.stats()["records"], spool.stats()["damaged_bytes"]) == (2, 0)
        spool.close()

    def test_a_slot_whose_owner_is_gone_keeps_no_torn_end(self, tmp_path):
        spool = FileSpool(tmp_path)
        spool.append([b"needle"])
        spool.close()
        segment = next(tmp_path.rglob("*.seg"))
        with segment.open("ab") as file:
            file.write(b"\xc1ML\xc1 torn needle")
        spool.scrub(self.done(spool))
        assert b"needle" not in self.raw(tmp_path)
        spool.append([b"next"])
        assert drain(spool, {spool.sources()[0]: 0}) == [b"next"]
        spool.close()

    def test_a_torn_end_before_a_record_that_waits_stays_readable(self, tmp_path):
        spool = FileSpool(tmp_path)
        spool.append([b"one"])
        position = self.done(spool)
        spool.append([b"two"])
        spool.close()
        spool.scrub(position)
        assert drain(spool, {spool.sources()[0]: position(spool.sources()[0])}) == [b"two"]

    def test_a_position_of_another_life_of_the_folder_touches_nothing(self, tmp_path):
        spool = FileSpool(tmp_path)
        spool.append([b"waits"])
        assert spool.scrub(lambda source: 0).overwritten == 0
        assert drain(spool) == [b"waits"]
        spool.close()

    def test_beside_writers_and_readers_nothing_is_lost(self, tmp_path):
        spool = FileSpool(tmp_path, segment_bytes=2000)
        stop = threading.Event()
        given = [b"%06d" % number for number in range(1500)]

        def write():
            for start in range(0, len(given), 5):
                spool.append(given[start : start + 5])

        positions, taken = {}, []

        def scrub():
            while not stop.is_set():
                spool.scrub(lambda source: positions.get(source, 0))

        writer, scrubber = threading.Thread(target=write), threading.Thread(target=scrub)
        writer.start()
        scrubber.start()
        while writer.is_alive() or len(taken) < len(given):
            for source in spool.sources():
                found = spool.read(source, positions.get(source, 0), 37)
                taken += found.records
                positions[source] = found.position
                spool.trim(source, found.position)
        stop.set()
        scrubber.join()
        assert taken == given
        assert spool.damaged_bytes == 0
        spool.close()


class TestAnotherUser:
    """A cron job of root's, a worker under its own account."""

    @pytest.fixture
    def folder(self):
        with tempfile.TemporaryDirectory() as name:  # of pytest's own folders others may not even see the names
            folder = Path(name)
            folder.chmod(0o777)
            yield folder

    @staticmethod
    @contextmanager
    def stranger(*mine):
        """Be somebody who may not write to these paths."""
        modes = {path: path.stat().st_mode for one in mine for path in (one, *one.rglob("*"))}
        for path in modes:
            path.chmod(0o555 if path.is_dir() else 0o444)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield
        finally:
            if root:
                os.seteuid(0)
            for path, mode in modes.items():
                path.chmod(mode)

    def test_a_slot_of_another_user_is_passed_over(self, folder):
        theirs = FileSpool(folder)
        theirs.append([b"theirs"])
        theirs.close()
        with self.stranger(folder / spool_slot.slots(folder)[0]):
            ours = FileSpool(folder)
            ours.append([b"ours"])
            assert drain(ours) == [b"theirs", b"ours"]
            for source in ours.sources():
                ours.trim(source, ours.read(source, 0, 10).position)
                with ours.hold(source) as free:
                    assert not free
            done = ours.scrub(lambda source: ours.read(source, 0, 10).position)
            assert "belongs to" in done.remark
            ours.close()

    def test_a_slot_that_everybody_may_lock_and_one_may_write(self, folder):
        theirs = FileSpool(folder)
        theirs.append([b"theirs"])
        theirs.close()
        slot = folder / spool_slot.slots(folder)[0]
        (slot / "lock").chmod(0o666)
        slot.chmod(0o555)
        if os.geteuid() == 0:
            os.seteuid(65534)
        try:
            ours = FileSpool(folder)
            ours.append([b"ours"])
            ours.close()
        finally:
            os.seteuid(os.getuid())
            slot.chmod(0o755)
        assert len(spool_slot.slots(folder)) == 2

    def test_what_may_not_be_read_holds_nothing_up_and_is_said(self, folder):
        theirs, ours = FileSpool(folder), FileSpool(folder)
        theirs.append([b"theirs"])
        ours.append([b"ours"])
        segment = next((folder / spool_slot.slots(folder)[0]).glob("*.seg"))
        segment.chmod(0o000)
        if os.geteuid() == 0:
            os.seteuid(65534)
        try:
            assert drain(ours) == [b"ours"]
            assert "chown" in ours.stats()["denied"][0]
        finally:
            os.seteuid(os.getuid())
            segment.chmod(0o644)
        assert drain(ours) == [b"theirs", b"ours"]
        theirs.close()
        ours.close()

    def test_a_folder_of_another_user_is_named_with_the_remedy(self, folder):
        (folder / "spool").mkdir()
        with self.stranger(folder / "spool"), pytest.raises(SpoolError, match=r"spool belongs to \w+, and .*chown -R"):
            FileSpool(folder / "spool").append([b"x"])
        with self.stranger(folder), pytest.raises(SpoolError, match="belongs to"):
            FileSpool(folder / "new").append([b"x"])
