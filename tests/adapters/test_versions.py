import pytest

from ml_models.adapters.versions import DatabaseVersions, MemoryVersions
from ml_models.testing.model_stores import VersionTableContract


class TestMemoryVersions(VersionTableContract):
    def make(self):
        return MemoryVersions()


@pytest.mark.both_databases
@pytest.mark.django_db
class TestDatabaseVersions(VersionTableContract):
    def make(self):
        return DatabaseVersions()

    def test_a_number_taken_meanwhile_is_passed_over(self, monkeypatch):
        from ml_models.orm import ModelVersion

        table = self.make()
        table.create(self.record())
        find = ModelVersion.objects.filter
        looks = []

        def stale(**values):  # the first look is from before the other training's insert
            looks.append(values)
            return find(**values).none() if len(looks) == 1 else find(**values)

        monkeypatch.setattr(ModelVersion.objects, "filter", stale)
        assert table.create(self.record()).version == 2

    @pytest.mark.django_db(transaction=True)  # in a transaction a savepoint goes around
    def test_a_champion_is_one_row_and_one_query(self, django_assert_num_queries):
        table = self.make()
        table.promote("ease", self.ready(table), by="me", reason="first version")
        with django_assert_num_queries(1):
            assert table.champions() == {"ease": 1}
