"""The read-only lists in Django admin."""

from datetime import UTC, datetime

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.test import override_settings
from django.urls import path, reverse

from ml_models.orm import ModelVersion, ProductStats, Promotion, ServingModel, UserProfile

urlpatterns = [path("admin/", admin.site.urls)]
LISTS = ["modelversion", "promotion", "productstats", "userprofile"]
NOW = datetime(2024, 3, 1, tzinfo=UTC)

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


@pytest.fixture
def rows() -> dict[str, object]:
    old, new = (ModelVersion.objects.create(name="ease", version=n, created_at=NOW, status="ready") for n in (1, 2))
    ServingModel.objects.create(name="ease", version=new, since=NOW)
    return {
        "modelversion": new,
        "promotion": Promotion.objects.create(
            name="ease", version=new, previous=old, at=NOW, by="ann", reason="better"
        ),
        "productstats": ProductStats.objects.create(item_id="sku-1", updated_at=NOW, views_30d=7),
        "userprofile": UserProfile.objects.create(visitor="u:5", updated_at=NOW, events=3),
    }


@pytest.mark.parametrize("name", LISTS)
def test_lists_and_pages_open_and_cannot_be_changed(admin_client, rows, name):
    page = admin_client.get(reverse(f"admin:ml_{name}_changelist"))
    assert page.status_code == 200
    change = reverse(f"admin:ml_{name}_change", args=[quote(rows[name].pk)])
    assert change in page.content.decode()
    assert admin_client.get(change).status_code == 200
    assert admin_client.post(change, {}).status_code == 403
    assert admin_client.get(reverse(f"admin:ml_{name}_add")).status_code == 403
    assert (
        admin_client.post(reverse(f"admin:ml_{name}_delete", args=[quote(rows[name].pk)]), {"post": "yes"}).status_code
        == 403
    )


def test_the_serving_version_is_marked(admin_client, rows):
    html = admin_client.get(reverse("admin:ml_modelversion_changelist")).content.decode()
    marks = [line for line in html.split("<tr>") if 'class="field-serves"' in line]
    assert len(marks) == 2
    assert sum("icon-yes" in mark for mark in marks) == 1


def test_lists_take_the_same_queries_for_any_number_of_rows(admin_client, rows, django_assert_max_num_queries):
    for number in range(3, 30):
        version = ModelVersion.objects.create(name="ease", version=number, created_at=NOW)
        Promotion.objects.create(name="ease", version=version, previous=rows["modelversion"], at=NOW, by="ann")
    for name in ("modelversion", "promotion"):
        with django_assert_max_num_queries(12):
            admin_client.get(reverse(f"admin:ml_{name}_changelist"))


def test_a_user_without_permission_sees_nothing(client, django_user_model, rows):
    client.force_login(django_user_model.objects.create_user("bob", is_staff=True))
    with override_settings(LOGIN_URL="/admin/login/"):
        assert client.get(reverse("admin:ml_modelversion_changelist")).status_code == 403
