import threading

import pytest

from ml_models.adapters import lake_lock
from ml_models.adapters.lake_lock import rewriting
from ml_models.adapters.lease import Lease
from ml_models.core.errors import StoreError
from tests.waiting import GENEROUS


def test_a_second_rewriter_of_a_folder_waits_for_the_first(tmp_path):
    told = []

    def second():
        with rewriting(f"file://{tmp_path}"):
            told.append("second")

    with rewriting(str(tmp_path)):
        rival = threading.Thread(target=second)
        rival.start()
        rival.join(0.2)
        told.append("first")
    rival.join(GENEROUS)
    assert told == ["first", "second"]


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "lake").write_text("")
    with pytest.raises(StoreError, match="space and access"), rewriting(str(tmp_path / "lake")):
        pass


@pytest.mark.django_db(transaction=True)
def test_in_an_object_store_the_database_says_who_may(monkeypatch):
    monkeypatch.setattr(lake_lock, "LONGEST_WAIT", 0.0)
    with rewriting("s3://bucket/lake"):
        assert not Lease("lake").hold()
        with pytest.raises(StoreError, match="Run it again"), rewriting("s3://bucket/lake"):
            pass
    assert Lease("lake").hold()
