"""The committer's kill test in its short form."""

import pytest

from benchmarks import kill_test


@pytest.mark.slow
@pytest.mark.parametrize(("kills", "search"), [(50, True), (10, False)])
def test_no_acknowledged_event_is_lost_and_none_comes_twice(tmp_path, kills, search):
    counts = kill_test.storm(tmp_path, kills, 0.12, seed=1, search=search)
    assert counts["kills"] >= kills
    assert counts["kills_of_committers"] > 0
    assert counts["kills_of_producers"] > 0
    assert counts["acknowledged"] > 0
    assert (counts["lost"], counts["twice"], counts["crashes"], counts["left_in_spool"]) == (0, 0, 0, 0)
