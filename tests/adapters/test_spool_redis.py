"""The Redis spool keeps the contract, and its positions hold whatever becomes of the server's data."""

import itertools

import pytest

from ml_models.adapters.spool_redis import RedisSpool
from ml_models.core.errors import ConfigError, SpoolError
from ml_models.testing.spool import SpoolContract, drain
from tests.servers import NoServer, private_redis

redis = pytest.importorskip("redis")
numbers = itertools.count()


def make(url):
    """An empty spool: a site of its own in the test's database."""
    return RedisSpool(url=url, site=f"site{next(numbers)}", timeout=10)


class TestRedisSpool(SpoolContract):
    @pytest.fixture(autouse=True)
    def _url(self, redis_url):
        self.url = redis_url

    def make(self):
        return make(self.url)


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def spool(redis_url):
    spool = make(redis_url)
    yield spool
    spool.close()


def emptied(spool):
    """All there is, source after source, each trimmed as the committer does."""
    found = []
    while sources := spool.sources():
        for source in sources:
            part = spool.read(source, 0, 1000)
            found += part.records
            spool.trim(source, part.position)
    return found


def keys(client, spool):
    return sorted(key.decode() for key in client.scan_iter(f"{spool._head}*"))


def stream(client, spool):
    return f"{spool._head}:{client.hget(spool._head, 'epoch').decode()}"


def test_a_batch_is_one_entry_and_its_records_are_numbered(spool, client):
    spool.append([b"a", b"b", b"c"])
    spool.append([b"d"])
    assert [entry.decode() for entry, _ in client.xrange(stream(client, spool))] == ["3-0", "4-0"]
    (source,) = spool.sources()
    assert [spool.read(source, after, 1) for after in range(5)] == [
        ([b"a"], 1),
        ([b"b"], 2),
        ([b"c"], 3),
        ([b"d"], 4),
        ([], 4),
    ]
    assert spool.read(source, 1, 3) == ([b"b", b"c", b"d"], 4)


def test_a_batch_is_deleted_when_its_last_record_is_in_the_lake(spool, client):
    spool.append([b"a", b"b", b"c"])
    (source,) = spool.sources()
    spool.trim(source, 2)
    assert (client.xlen(stream(client, spool)), spool.stats()["records"]) == (1, 1)
    spool.trim(source, 1)  # a rival that is behind
    assert spool.stats()["records"] == 1
    spool.trim(source, 3)
    assert (client.xlen(stream(client, spool)), spool.stats()["records"]) == (0, 0)


def test_many_small_batches_are_read_in_few_calls(spool, client):
    for start in range(0, 3000, 3):
        spool.append([b"%d" % number for number in range(start, start + 3)])
    (source,) = spool.sources()
    before = client.info("commandstats").get("cmdstat_xrange", {"calls": 0})["calls"]
    assert spool.read(source, 0, 3000).records == [b"%d" % number for number in range(3000)]
    assert client.info("commandstats")["cmdstat_xrange"]["calls"] - before <= 5


def test_a_read_is_bounded_in_bytes(spool):
    for number in range(40):
        spool.append([bytes([number]) * 1_000_000])
    after = {}
    (source,) = spool.sources()
    first = spool.read(source, 0, 1000)
    assert len(first.records) == 9
    after[source] = first.position
    rest = drain(spool, after)
    assert [record[0] for record in [*first.records, *rest]] == list(range(40))


def test_an_emptied_server_is_another_source(spool, client):
    spool.append([b"a", b"b"])
    (before,) = spool.sources()
    client.delete(*keys(client, spool))
    assert spool.sources() == []
    spool.append([b"c"])
    (after,) = spool.sources()
    assert after != before
    assert spool.read(after, 0, 10) == ([b"c"], 1)
    assert spool.read(before, 2, 10) == ([], 2)


def test_a_lost_stream_begins_a_new_epoch(spool, client):
    spool.append([b"a", b"b"])
    (before,) = spool.sources()
    client.delete(stream(client, spool))
    spool.append([b"c"])
    (after,) = spool.sources()
    assert after != before
    assert spool.read(after, 0, 10) == ([b"c"], 1)
    assert spool.stats()["records"] == 1


def test_a_lost_head_begins_a_new_epoch_and_the_old_one_is_read_first(spool, client):
    spool.append([b"a"])
    (before,) = spool.sources()
    client.delete(spool._head)
    spool.append([b"b"])
    assert spool.sources() == [before]
    assert spool.read(before, 0, 10) == ([b"a"], 1)
    spool.trim(before, 1)
    (after,) = spool.sources()
    assert spool.read(after, 0, 10) == ([b"b"], 1)


def test_another_process_begins_a_new_epoch_only_where_it_must(redis_url, spool):
    spool.append([b"a"])
    other = RedisSpool(url=redis_url, site=spool._head.partition("{")[2].partition("}")[0])
    other.append([b"b"])
    (source,) = spool.sources()
    assert spool.read(source, 0, 10) == ([b"a", b"b"], 2)


def test_what_is_not_ours_becomes_one_record_and_holds_nothing_up(spool, client):
    spool.append([b"a"])
    client.xadd(stream(client, spool), {"x": "foreign"}, id="2-0")
    client.hincrby(spool._head, f"last:{stream(client, spool).rpartition(':')[2]}", 1)
    spool.append([b"b"])
    (source,) = spool.sources()
    assert spool.read(source, 0, 10) == ([b"a", b"foreign", b"b"], 3)


def test_a_backlog_moves_once(spool):
    spool.append([b"before"])
    assert spool.moved("file:0:0") == 0
    assert spool.move("file:0:0", 0, [b"a", b"b"], 70)
    assert not spool.move("file:0:0", 0, [b"a", b"b"], 70)  # a second mover that read before the first one wrote
    assert spool.moved("file:0:0") == 70
    assert spool.move("file:0:0", 70, [b"c"], 90)
    assert spool.move("file:0:1", 0, [b"d"], 50)
    assert drain(spool) == [b"before", b"a", b"b", b"c", b"d"]


def test_a_server_that_is_not_there_is_said_with_the_remedy():
    spool = RedisSpool(url="redis://:secret@127.0.0.1:1/0", site="x")
    for ask in (lambda: spool.append([b"a"]), spool.sources, spool.stats, lambda: spool.trim("redis:0", 1)):
        with pytest.raises(SpoolError, match=r"Could not connect to Redis at 127\.0\.0\.1:1 .*redis-cli ping") as said:
            ask()
        assert "secret" not in str(said.value)


def test_without_a_url_or_the_package_it_says_what_to_do(settings, monkeypatch):
    with pytest.raises(ConfigError, match="REDIS_URL is not set"):
        RedisSpool()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    spool = RedisSpool()
    monkeypatch.setitem(__import__("sys").modules, "redis", None)
    with pytest.raises(SpoolError, match=r"pip install 'bunoraa-ml\[redis\]'"):
        spool.append([b"a"])


def test_a_record_too_large_is_refused(spool):
    with pytest.raises(SpoolError, match="larger than"):
        spool.append([b"x" * ((1 << 20) + 1)])
    assert spool.sources() == []


# -- the server's own fate ----------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path):
    try:
        with private_redis(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as server:
            yield server
    except NoServer as error:
        pytest.skip(str(error))


def test_a_kill_loses_nothing_and_begins_a_new_epoch_behind_the_old(server):
    spool = make(server.url)
    spool.append([b"a", b"b"])
    (before,) = spool.sources()
    assert spool.read(before, 0, 1).position == 1
    server.kill()
    with pytest.raises(SpoolError, match="Could not connect to Redis"):
        spool.append([b"lost, and said so"])
    server.start()
    spool.append([b"c"])
    assert spool.stats()["records"] == 3
    assert spool.sources() == [before]
    assert spool.read(before, 1, 10) == ([b"b"], 2)
    spool.trim(before, 2)
    (after,) = spool.sources()
    assert after != before
    assert spool.read(after, 0, 10) == ([b"c"], 1)


def test_what_is_scrubbed_leaves_the_servers_files(server, tmp_path):
    spool, folder = make(server.url), tmp_path
    spool.append([b"needle-" * 50])

    def held():
        return [path for path in folder.rglob("*") if path.is_file() and b"needle-needle" in path.read_bytes()]

    assert held()  # in the append-only file
    (source,) = spool.sources()
    end = spool.read(source, 0, 10).position
    spool.append([b"waits"])
    assert spool.scrub(lambda name: end if name == source else 0).remark == ""
    assert held() == []
    assert spool.read(source, end, 10).records == [b"waits"]


def test_a_server_that_does_not_let_its_files_be_rewritten_is_said(server):
    spool = make(server.url)
    with spool._reading.use() as client:
        client.execute_command("ACL", "SETUSER", "default", "-bgrewriteaof", "-bgsave")
    assert "does not let this app rewrite its files" in spool.scrub(lambda name: 0).remark


def test_a_server_that_forgot_its_last_records_gives_their_numbers_to_no_others(server, tmp_path):
    """As after a failover to a replica that lags, or a power cut without an fsync."""
    spool = make(server.url)
    spool.append([b"a"])
    server.kill()
    kept = {path.name: path.read_bytes() for path in (tmp_path / "appendonlydir").iterdir()}
    server.start()
    spool.append([b"b", b"c"])
    server.kill()
    server.start()
    spool.append([b"d", b"e"])
    committed = dict.fromkeys(spool.sources(), 0)
    assert drain(spool, committed) == [b"a"]
    spool.trim(*committed.popitem())
    read = spool.read(*spool.sources(), 0, 10)
    assert read.records == [b"b", b"c"]  # in the lake; then the server goes back to the state before it
    behind = {spool.sources()[0]: read.position}
    server.kill()
    for path in (tmp_path / "appendonlydir").iterdir():
        path.unlink()
    for name, content in kept.items():
        (tmp_path / "appendonlydir" / name).write_bytes(content)
    server.start()
    spool.append([b"f"])
    found = []
    while sources := spool.sources():
        for source in sources:
            rest = spool.read(source, behind.get(source, 0), 10)
            found += rest.records
            spool.trim(source, rest.position)
    assert found == [b"a", b"f"]


def test_epochs_that_were_emptied_are_forgotten(server):
    spool = make(server.url)
    with redis.Redis.from_url(server.url) as client:
        for number in range(4):
            spool.append([b"%d" % number])
            (source,) = spool.sources()
            spool.trim(source, 1)
            server.kill()
            server.start()
        spool.append([b"last"])
        assert client.llen(f"{spool._head}:epochs") == 1
        assert len(keys(client, spool)) == 3
        assert client.hlen(spool._head) == 3


def test_a_server_that_only_reads_by_now_is_left_for_the_one_its_name_leads_to(server):
    spool = make(server.url)
    spool.append([b"a"])
    with redis.Redis.from_url(server.url) as client:
        client.replicaof("127.0.0.1", 1)
        with pytest.raises(SpoolError, match=r"refused: .*Check its memory \(maxmemory\), role"):
            spool.append([b"b"])
        assert spool._writing.client().connection_pool._available_connections[0]._sock is None
        client.replicaof("NO", "ONE")
    spool.append([b"c"])
    assert emptied(spool) == [b"a", b"c"]


def test_a_primary_that_was_a_replica_meanwhile_may_have_lost_its_last_records(server):
    """It has its run id still, and perhaps the shorter data of the server that led in between."""
    spool = make(server.url)
    spool.append([b"a"])
    (before,) = spool.sources()
    with redis.Redis.from_url(server.url) as client:
        client.replicaof("127.0.0.1", 1)
        client.replicaof("NO", "ONE")
    spool.append([b"b"])
    spool.trim(before, 1)
    assert spool.sources() != [before]
    assert emptied(spool) == [b"b"]


def test_a_server_that_is_full_is_said_and_takes_events_again(server):
    spool = make(server.url)
    spool.append([b"a"])
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", 1)
        with pytest.raises(SpoolError, match=r"refused: .*memory"):
            spool.append([b"b"])
        client.config_set("maxmemory", 0)
    spool.append([b"c"])
    assert drain(spool) == [b"a", b"c"]
