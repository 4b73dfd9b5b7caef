"""The guide's templates and JavaScript names against the tracker that is shipped."""

import re

import pytest
from django.contrib.staticfiles import finders
from django.template import Context, Template
from django.test import Client

from tests.house.fresh import ROOT

SCRIPT = ROOT / "src/ml_models/static/js/ml-tracking.js"


def check_tag(html: str) -> None:
    """The script is served and its endpoint answers."""
    (address,) = re.findall(r'<script src="([^"]+)"', html)
    (endpoint,) = re.findall(r'data-api-url="([^"]+)"', html)
    assert finders.find(address.removeprefix("/static/")) == str(SCRIPT)
    assert Client().post(endpoint, "{}", content_type="application/json").status_code == 400
    assert Client().post(endpoint, '{"events": []}', content_type="application/json").json() == {
        "status": "ok",
        "processed": 0,
    }


@pytest.mark.django_db
@pytest.mark.runs("quick-start/4-add-frontend-tracking#1")
def test_script_tag(snippet, place):
    check_tag(Template("{% load static %}" + snippet.text).render(Context()))


@pytest.mark.django_db
@pytest.mark.runs("frontend-integration/include-tracking-script#1")
def test_script_tag_with_user(snippet, place, django_user_model):
    user = django_user_model.objects.create_user("ann")
    html = Template(snippet.text).render(Context({"user": user}))
    check_tag(html)
    assert f'<meta name="user-id" content="{user.pk}">' in html


@pytest.mark.runs("frontend-integration/track-product-views#1")
def test_track_product_views(snippet, tracker):
    offered(snippet, tracker)


@pytest.mark.runs("frontend-integration/track-cart-events#1")
def test_track_cart_events(snippet, tracker):
    offered(snippet, tracker)


@pytest.mark.runs("frontend-integration/track-checkout#1")
def test_track_checkout(snippet, tracker):
    offered(snippet, tracker)


@pytest.mark.runs("frontend-integration/track-search#1")
def test_track_search(snippet, tracker):
    offered(snippet, tracker)


@pytest.mark.runs("frontend-integration/custom-events#1")
def test_custom_events(snippet, tracker):
    offered(snippet, tracker)


def offered(snippet, tracker) -> None:
    """Every method the snippet calls is a member of the tracker's one global."""
    names = set(re.findall(r"BunoraaML\.(\w+)\(", snippet.text))
    assert names
    assert "BunoraaML" in tracker
    for name in names:
        assert re.search(rf"\b{name}\b\s*[:(,=}}]", tracker), name
