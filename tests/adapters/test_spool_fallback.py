"""Redis first, files while it is away: nothing lost, nothing twice, the order of a process kept."""

import itertools
import os
import random
import threading

import pytest

from ml_models.adapters import build
from ml_models.adapters.spool_fallback import FallbackSpool
from ml_models.adapters.spool_file import FileSpool
from ml_models.adapters.spool_redis import RedisSpool
from ml_models.core.errors import SpoolError
from ml_models.testing.spool import SpoolContract, drain
from tests.servers import NoServer, private_redis
from tests.waiting import GENEROUS

redis = pytest.importorskip("redis")
DEAD = "redis://127.0.0.1:1/0"
numbers = itertools.count()


class Switched(RedisSpool):
    """A Redis that can be away, and can store what it does not answer."""

    down = False
    mute = False
    tries = 0

    def append(self, records):
        self.tries += 1
        if self.mute:
            super().append(records)
        if self.down or self.mute:
            raise SpoolError("Could not connect to Redis (a test)")
        super().append(records)

    def _ask(self, name, *arguments):
        if self.down:
            raise SpoolError("Could not connect to Redis (a test)")
        return getattr(super(), name)(*arguments)

    def sources(self):
        return self._ask("sources")

    def all_sources(self):
        return self._ask("all_sources")

    def read(self, source, after, max_records):
        return self._ask("read", source, after, max_records)

    def moved(self, source):
        return self._ask("moved", source)

    def move(self, *arguments):
        return self._ask("move", *arguments)

    def stats(self):
        return self._ask("stats")


@pytest.fixture
def make(redis_url, tmp_path):
    """Spools of one host and one site, as its processes have them."""
    site = f"fallback{next(numbers)}"
    made = []

    def make(folder="spool", **options):
        options = {"patience": 300, "automatic": False} | options
        made.append(FallbackSpool(tmp_path / folder, redis=Switched(url=redis_url, site=site, timeout=10), **options))
        return made[-1]

    yield make
    for spool in made:
        spool.close()


class TestWithRedis(SpoolContract):
    @pytest.fixture(autouse=True)
    def _parts(self, redis_url, tmp_path):
        self.url, self.folder = redis_url, tmp_path

    def make(self):
        site = f"contract{next(numbers)}"
        return FallbackSpool(self.folder / site, redis=RedisSpool(url=self.url, site=site, timeout=10))


class TestWithoutRedis(SpoolContract):
    @pytest.fixture(autouse=True)
    def _parts(self, tmp_path):
        self.folder, self.made = tmp_path, []
        yield
        for spool in self.made:
            spool.close()

    def make(self):
        folder = self.folder / str(next(numbers))
        self.made.append(FallbackSpool(folder, redis=RedisSpool(url=DEAD, site="x"), patience=0, automatic=False))
        return self.made[-1]


def test_a_dead_redis_is_asked_once(make):
    spool = make()
    spool._redis.down = True
    for number in range(50):
        spool.append([b"%d" % number])
    assert spool._redis.tries == 1
    assert spool.away
    assert spool.stats()["in_files"] == 50


def test_what_was_in_redis_comes_first_then_the_files_then_what_follows(make):
    spool = make()
    spool.append([b"1"])
    spool._redis.down = True
    spool.append([b"2"])
    spool.append([b"3"])
    spool._redis.down = False
    spool.append([b"4"])  # Redis is back and nobody has looked yet
    assert spool.stats()["in_files"] == 3
    assert spool.come_back() == 3
    spool.append([b"5"])
    assert not spool.away
    assert drain(spool) == [b"1", b"2", b"3", b"4", b"5"]
    assert spool.stats()["in_files"] == 0


def test_while_redis_is_away_the_files_wait_for_it_as_long_as_they_may(make):
    spool, patient = make(patience=0), make()
    spool.append([b"1"])
    spool._redis.down = patient._redis.down = True
    spool.append([b"2"])
    assert patient.sources() == []
    assert patient.trouble == "Could not connect to Redis (a test)"
    assert drain(spool) == [b"2"]
    patient.insist()
    assert drain(patient) == [b"2"]
    patient._redis.down = False
    assert len(patient.sources()) == 1
    assert patient.trouble == ""


def test_the_backlog_of_a_dead_process_is_moved_by_the_reader(make):
    dead, reader = make(), make()
    dead.append([b"1"])
    dead._redis.down = True
    dead.append([b"2"])
    assert drain(reader) == [b"1"]  # its owner lives and will move it
    dead.close()
    after = {}
    assert drain(reader, after) == [b"1", b"2"]
    assert list(after) == reader.sources()
    assert FileSpool(reader._files.folder).stats()["records"] == 0


def test_what_was_moved_to_redis_leaves_its_file(make):
    alive, dead, reader = make(), make(), make()
    for spool, record in ((alive, b"needle of a live one"), (dead, b"needle of a dead one")):
        spool._redis.down = True
        spool.append([record])
        spool._redis.down = False
    dead.close()
    with next(reader._files.folder.glob("001-*/*.seg")).open("ab") as file:
        file.write(b"\xc1ML\xc1 torn needle")
    reader.sources()
    alive.come_back()
    segments = list(reader._files.folder.rglob("*.seg"))
    assert len(segments) == 2
    assert not [path for path in segments if b"needle" in path.read_bytes()]
    alive.append([b"next"])
    assert sorted(drain(reader)) == [b"needle of a dead one", b"needle of a live one", b"next"]


def test_a_new_process_moves_what_dead_ones_left(make):
    dead = make()
    dead._redis.down = True
    dead.append([b"1", b"2"])
    dead.close()
    heir = make(automatic=True)
    heir.append([b"3"])
    heir._thread.join(GENEROUS)
    assert sorted(drain(make())) == [b"1", b"2", b"3"]
    assert FileSpool(heir._files.folder).stats()["records"] == 0


def test_the_thread_finds_back_by_itself(make):
    spool = make(automatic=True)
    spool._redis.down = True
    spool.append([b"1"])
    spool._redis.down = False
    spool._thread.join(GENEROUS)
    assert not spool.away
    spool.append([b"2"])
    assert drain(spool) == [b"1", b"2"]


def test_a_mover_killed_before_it_noted_what_it_did_moves_nothing_twice(make, monkeypatch):
    spool = make()
    spool._redis.down = True
    spool.append([b"1"])
    spool.append([b"2"])
    spool._redis.down = False
    monkeypatch.setattr(FileSpool, "trim", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        spool.come_back()
    monkeypatch.undo()
    assert spool.away
    spool.append([b"3"])
    spool.come_back()
    assert drain(spool) == [b"1", b"2", b"3"]


def test_files_read_directly_do_not_give_again_what_was_moved(make):
    spool = make(patience=0)
    spool._redis.down = True
    spool.append([b"1", b"2"])
    spool._redis.down = False
    spool.come_back()
    spool._redis.down = True
    spool.append([b"3"])
    (source,) = spool.sources()
    assert spool.read(source, 0, 10).records == [b"3"]


def test_an_append_without_an_answer_is_kept_and_may_come_twice_but_never_not_at_all(make):
    spool = make()
    spool._redis.mute = True
    spool.append([b"1"])
    spool._redis.mute = False
    spool.come_back()
    assert drain(spool) == [b"1", b"1"]  # the lake keeps one by its event id


def test_where_neither_takes_an_event_the_sender_is_told(make, monkeypatch):
    spool = make()
    spool._redis.down = True
    monkeypatch.setattr(FileSpool, "append", lambda *arguments: (_ for _ in ()).throw(SpoolError("no space")))
    with pytest.raises(SpoolError, match="no space"):
        spool.append([b"1"])
    with pytest.raises(SpoolError, match="larger than"):
        spool.append([b"x" * ((1 << 20) + 1)])


def test_threads_keep_their_order_while_redis_comes_and_goes(make):
    spool = make()
    stop = threading.Event()

    def work(name):
        for number in range(300):
            spool.append([b"%d:%d" % (name, number)])

    def weather():
        rng = random.Random(5)
        while not stop.wait(rng.uniform(0, 0.01)):
            spool._redis.down = not spool._redis.down
            if not spool._redis.down and spool.away:
                spool.come_back()

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    other = threading.Thread(target=weather)
    for thread in [*threads, other]:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    other.join()
    spool._redis.down = False
    spool.come_back()
    found = drain(spool)
    for name in range(4):
        mine = [int(record.partition(b":")[2]) for record in found if record.startswith(b"%d:" % name)]
        assert mine == list(range(300))


def test_a_forked_child_begins_anew(make):
    spool = make()
    spool._redis.down = True
    spool.append([b"parent"])
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        spool._redis.down = False
        spool.append([b"child"])
        os.write(write, b"%d" % spool.away)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert os.read(read, 1) == b"0"
    os.close(read)
    os.close(write)
    spool._redis.down = False
    spool.come_back()
    assert sorted(drain(spool)) == [b"child", b"parent"]


def test_a_real_server_that_stops_and_comes_back(tmp_path):
    try:
        with private_redis(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as server:
            spool = FallbackSpool(
                tmp_path / "spool",
                redis=RedisSpool(url=server.url, site="x", timeout=10),
                patience=300,
                automatic=False,
            )
            spool.append([b"1", b"2"])
            server.kill()
            spool.append([b"3"])
            with pytest.raises(SpoolError, match="Could not connect to Redis"):
                spool.come_back()
            assert (spool.sources(), spool.stats()["records"]) == ([], 1)
            assert spool.trouble.startswith("Could not connect to Redis at 127.0.0.1:")
            server.start()
            spool.come_back()
            spool.append([b"4"])
            found = []
            while sources := spool.sources():
                for source in sources:
                    part = spool.read(source, 0, 10)
                    found += part.records
                    spool.trim(source, part.position)
            assert found == [b"1", b"2", b"3", b"4"]
            spool.close()
    except NoServer as error:
        pytest.skip(str(error))


def test_a_full_redis_is_read_and_trimmed_and_takes_events_again(tmp_path):
    try:
        with private_redis(tmp_path, "--maxmemory", "4mb", "--maxmemory-policy", "noeviction") as server:
            full = RedisSpool(url=server.url, site="x")
            written = 0
            with pytest.raises(SpoolError, match="maxmemory"):
                for _ in range(1000):
                    full.append([os.urandom(2000) for _ in range(10)])
                    written += 10
            files = FileSpool(tmp_path / "spool")
            files.append([b"of a dead process"])
            files.close()
            spool = FallbackSpool(tmp_path / "spool", redis=full, patience=300, automatic=False)
            (source,) = spool.sources()  # what the dead process left cannot be moved yet
            assert "maxmemory" in spool.trouble
            position = 0
            while (part := spool.read(source, position, 1000)).records:
                written -= len(part.records)
                position = part.position
            assert written == 0
            spool.trim(source, position)
            assert spool.stats()["records"] == 1
            assert drain(spool, {source: position}) == [b"of a dead process"]
            assert spool.trouble == ""
            spool.append([b"next"])
            assert not spool.away
            spool.close()
    except NoServer as error:
        pytest.skip(str(error))


def test_a_search_is_given_everything_at_once_and_moves_nothing(make):
    dead, alive, reader = make(), make(), make()
    alive.append([b"in Redis"])
    for spool, record in ((dead, b"of a dead process"), (alive, b"of a live one")):
        spool._redis.down = True
        spool.append([record])
    dead.close()
    found = [record for source in reader.all_sources() for record in reader.read(source, 0, 10).records]
    assert sorted(found) == [b"in Redis", b"of a dead process", b"of a live one"]
    assert reader.stats()["in_files"] == 2
    reader._redis.down = True
    reader.all_sources()
    assert reader.trouble == "Could not connect to Redis (a test)"


# -- the default --------------------------------------------------------------------------------------


def test_the_default_follows_redis_url(settings, tmp_path):
    settings.ML_STORAGE = {"data": tmp_path}
    settings.REDIS_URL = None
    assert type(build.get_spool()) is FileSpool
    settings.REDIS_URL = DEAD
    assert type(build.get_spool()) is FallbackSpool
    settings.ML_STORAGE = {"data": tmp_path, "spool": "ml_models.adapters.spool_file.FileSpool"}
    assert type(build.get_spool()) is FileSpool
    settings.ML_STORAGE = {"data": tmp_path, "spool": "ml_models.adapters.spool_redis.RedisSpool"}
    assert type(build.get_spool()) is RedisSpool
    build.reset()


def test_without_the_package_events_go_to_files(settings, tmp_path, monkeypatch):
    settings.ML_STORAGE = {"data": tmp_path}
    settings.REDIS_URL = DEAD
    monkeypatch.setitem(__import__("sys").modules, "redis", None)
    spool = FallbackSpool(tmp_path / "spool", patience=0, automatic=False)
    spool.append([b"1"])
    assert drain(spool) == [b"1"]
    assert "pip install 'bunoraa-ml[redis]'" in spool.trouble
    spool.close()
