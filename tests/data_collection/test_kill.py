"""The kill test in its short form, on both transports, and what its count is made of."""

import pytest

from benchmarks._kill.count import out_of_order
from benchmarks._kill.parts import Plan
from benchmarks._kill.storm import storm
from tests.servers import NoServer, private_redis


@pytest.mark.slow
@pytest.mark.parametrize(("kills", "search", "web"), [(33, True, True), (11, False, False)])
@pytest.mark.parametrize("transport", ["files", "redis"])
def test_no_acknowledged_event_is_lost_and_none_comes_twice(tmp_path, transport, kills, search, web):
    (tmp_path / "storm").mkdir()
    if transport == "files":
        counts = storm(Plan(tmp_path / "storm", search=search), kills, 0.12, seed=1, web=web)
    else:
        try:
            with private_redis(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as server:
                plan = Plan(tmp_path / "storm", server.url, search)
                counts = storm(plan, kills, 0.12, seed=1, server=server, web=web)
        except NoServer as error:
            pytest.skip(str(error))
        assert counts["kills_of_redis"] > 0
    assert counts["kills"] >= kills
    assert counts["kills_of_committer"] > 0
    assert counts["kills_of_producer"] > 0
    assert counts["acknowledged"] > 0
    if web:
        assert counts["kills_of_web"] > 0
        assert counts["acknowledged_by_web"] > 0
        assert counts["refused_by_web"] == 0
    assert (counts["lost"], counts["twice"], counts["crashes"], counts["left_in_spool"]) == (0, 0, 0, 0)


def test_a_session_is_out_of_order_when_a_later_event_is_in_an_earlier_commit():
    rows = [(1, "p1.0", "p1-0", 0), (2, "p1.0", "p1-20", 0), (2, "p1.0", "p1-40", 0), (1, "p1.1", "p1-1", 0)]
    assert out_of_order(rows) == (2, 0, 0)
    assert out_of_order([*rows, (1, "p1.0", "p1-60", 0)]) == (2, 1, 0)
    head = "a0000000-0000-7000-8000-0000000000"
    web = [(5, "w0.1", f"{head}0f", 1), (4, "w0.1", f"{head}10", 2)]
    assert out_of_order(web) == (1, 0, 0)
    assert out_of_order([*web, (6, "w0.1", f"{head}11", 0)]) == (1, 0, 1)
