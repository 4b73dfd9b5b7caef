"""Both online stores keep the contract; the database's cost is counted in queries."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext

from ml_models.adapters.online_store import KEEP, DatabaseOnlineStore, MemoryOnlineStore
from ml_models.core.query import Interaction
from ml_models.orm import OnlineInteraction
from ml_models.testing.online_store import OnlineStoreContract

START = datetime(2025, 3, 1, tzinfo=UTC)


def views(number, start=0):
    return [
        Interaction(str(index), "product_view", START + timedelta(minutes=index))
        for index in range(start, start + number)
    ]


class Never(random.Random):
    """A trim is never due."""

    def random(self):
        return 1.0


class TestMemoryOnlineStore(OnlineStoreContract):
    def make(self):
        return MemoryOnlineStore()


@pytest.mark.both_databases
@pytest.mark.django_db
class TestDatabaseOnlineStore(OnlineStoreContract):
    def make(self):
        return DatabaseOnlineStore()

    @pytest.mark.django_db(transaction=True)  # in a transaction a savepoint goes around
    def test_reading_is_one_query(self, django_assert_num_queries):
        store = self.make()
        store.record("a:1", views(150))
        with django_assert_num_queries(1):
            assert len(store.recent("a:1", 50)) == 50

    def test_recording_many_visitors_is_one_insert(self):
        with CaptureQueriesContext(connection) as queries:
            DatabaseOnlineStore(rng=Never()).record_many({f"a:{number}": views(3) for number in range(20)})
        statements = [query["sql"].split()[0] for query in queries]
        assert statements.count("INSERT") == 1
        assert not {"SELECT", "UPDATE", "DELETE"} & set(statements)

    def test_rows_beyond_the_newest_are_deleted_now_and_then(self):
        store = DatabaseOnlineStore(trim_every=50, rng=random.Random(1))
        most = 0
        for start in range(1000):
            store.record("a:1", views(1, start))
            if start % 25 == 0:
                most = max(most, OnlineInteraction.objects.count())
        # A trim is due after 50 rows on average; eight times that in a row has odds of 1 in 3,000.
        assert KEEP <= most <= KEEP + 400
        assert OnlineInteraction.objects.order_by("at").last().item_id == "999"

    def test_a_trim_that_fails_leaves_the_callers_transaction_usable(self, monkeypatch):
        store = self.make()
        store.record("a:1", views(2))

        def broken(visitor):
            with connection.cursor() as cursor:
                cursor.execute("SELECT nothing_of_this_name")

        monkeypatch.setattr(store, "_trim", broken)
        with pytest.raises(DatabaseError):
            store.merge("a:1", "u:7")
        # As the login that called it goes on; PostgreSQL would refuse a transaction in which a statement failed.
        assert OnlineInteraction.objects.filter(visitor="a:1").count() == 2

    def test_a_failure_leaves_the_callers_transaction_usable(self):
        store = self.make()
        with pytest.raises(DatabaseError):
            store.record("a:1", [Interaction("1", None, START)])
        assert OnlineInteraction.objects.count() == 0
