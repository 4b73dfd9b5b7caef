"""`{% ml_tracking %}`: the script element, set as the settings say, and no page is harmed by it."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest
from django.http import HttpResponse
from django.template import Context, Template
from django.test import RequestFactory
from django.urls import path
from django.utils.functional import SimpleLazyObject, empty

from ml_models import settings as ml_settings
from ml_models.data_collection import counters
from tests.frontend.test_build import BUILT

urlpatterns = [path("", lambda request: HttpResponse())]  # a shop that forgot the API

MANIFEST = "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
PLAIN = "django.contrib.staticfiles.storage.StaticFilesStorage"


OFF = dict.fromkeys(("track_product_views", "track_clicks", "track_forms", "track_engagement"), False)


@pytest.fixture(autouse=True)
def _fresh():
    ml_settings.reset()
    counters.reset()
    yield
    ml_settings.reset()


class _Script(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def tag(context=None, call="ml_tracking"):
    """The attributes of the one element that the tag writes; None where it writes nothing."""
    html = Template("{% load ml %}{% " + call + " %}").render(Context(context or {}))
    if not html:
        return None
    [(name, attributes)] = _Script(html).found
    assert name == "script"
    return attributes


def sri(content):
    return "sha384-" + base64.b64encode(hashlib.sha384(content).digest()).decode()


def test_it_names_the_file_its_hash_and_the_endpoint():
    assert tag() == {
        "src": "/static/js/ml-tracking.js?" + urlencode({"v": sri(BUILT.read_bytes())[7:19]}),
        "integrity": sri(BUILT.read_bytes()),
        "defer": None,
        "data-api-url": "/api/ml/track/",
    }


def test_the_shops_settings_reach_the_script(settings):
    settings.ML_TRACKING = OFF
    settings.ML_PRIVACY = {"consent": "required", "consent_cookie": "choice", "respect_gpc": False}
    found = tag()
    assert {name: value for name, value in found.items() if name.startswith("data-")} == {
        "data-api-url": "/api/ml/track/",
        "data-product-views": "off",
        "data-clicks": "off",
        "data-forms": "off",
        "data-engagement": "off",
        "data-consent": "required",
        "data-consent-cookie": "choice",
        "data-gpc": "off",
    }


def test_every_attribute_is_one_that_the_script_reads(settings):
    settings.ML_TRACKING = OFF
    settings.ML_PRIVACY = {"consent": "required", "consent_cookie": "choice", "respect_gpc": False}
    script = BUILT.read_text(encoding="utf-8")
    for name in tag():
        if name.startswith("data-"):
            word = re.sub(r"-(.)", lambda match: match[1].upper(), name.removeprefix("data-"))
            assert re.search(rf"\.{word}\b", script), name


def test_a_page_whose_own_scripts_call_at_once_may_have_it_now():
    assert "defer" not in tag(call="ml_tracking defer=False")


def test_a_urlconf_without_the_api_gets_the_guides_address(settings):
    settings.ROOT_URLCONF = "tests.frontend.test_tag"
    assert tag()["data-api-url"] == "/api/ml/track/"


@pytest.mark.parametrize("off", [{"ML_ENABLED": False}, {"ML_DATA_COLLECTION": {"enabled": False}}])
def test_switched_off_it_writes_nothing(settings, off):
    for name, value in off.items():
        setattr(settings, name, value)
    assert tag() is None


def test_the_nonce_of_either_kind_is_asked_for():
    class Nonce(SimpleLazyObject):
        """As Django's and django-csp's: false until it was made."""

        def __bool__(self):
            return self._wrapped is not empty

    request = RequestFactory().get("/")
    request.csp_nonce = Nonce(lambda: 'of"the<package')
    assert tag({"request": request})["nonce"] == 'of"the<package'
    assert tag({"csp_nonce": Nonce(lambda: "of-django")})["nonce"] == "of-django"
    assert "nonce" not in tag({"request": RequestFactory().get("/")})


def test_every_value_is_escaped(settings):
    settings.STATIC_URL = '/st"><script>alert(1)</script>/'
    html = Template("{% load ml %}{% ml_tracking %}").render(Context({"csp_nonce": '"><b>'}))
    assert [name for name, _ in _Script(html).found] == ["script"]
    assert html.count("<") == 2


def test_a_hashed_name_has_the_hash_of_the_collected_file(settings, tmp_path):
    from django.core.management import call_command

    settings.STATIC_ROOT = tmp_path
    settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": MANIFEST}}
    call_command("collectstatic", interactive=False, verbosity=0)
    found = tag()
    collected = tmp_path / found["src"].removeprefix("/static/")
    assert collected.name != "ml-tracking.js"
    assert "?" not in found["src"]
    # It names the collected map, so it is another file than the one of the package.
    assert collected.read_bytes() != BUILT.read_bytes()
    assert found["integrity"] == sri(collected.read_bytes())


def test_where_it_is_unknown_which_file_is_served_no_hash_is_promised(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": PLAIN}}
    copy = tmp_path / "js" / "ml-tracking.js"
    copy.parent.mkdir()
    copy.write_bytes(BUILT.read_bytes())
    assert tag()["integrity"] == sri(BUILT.read_bytes())
    copy.write_bytes(b"// collected from an earlier version")
    assert "integrity" not in tag()
    assert tag()["src"] == "/static/js/ml-tracking.js"


def test_an_updated_file_has_another_address_so_that_no_cached_one_is_refused(settings, tmp_path):
    settings.STATICFILES_DIRS = [tmp_path]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    script = tmp_path / "js" / "ml-tracking.js"
    script.parent.mkdir()
    found = []
    for content in (b"// one", b"// another"):
        script.write_bytes(content)
        found.append(tag())
        assert found[-1]["integrity"] == sri(content)
    assert found[0]["src"] != found[1]["src"]


def test_a_script_of_another_host_has_no_hash(settings):
    settings.STATIC_URL = "https://cdn.example/"
    found = tag()
    assert found["src"] == "https://cdn.example/js/ml-tracking.js"
    assert "integrity" not in found


def test_without_djangos_static_files_there_is_no_hash(settings):
    settings.INSTALLED_APPS = [name for name in settings.INSTALLED_APPS if name != "django.contrib.staticfiles"]
    found = tag()
    assert found["src"] == "/static/js/ml-tracking.js"
    assert "integrity" not in found


def test_a_failure_costs_the_page_nothing_and_is_counted(settings, tmp_path, caplog):
    settings.STATIC_ROOT = tmp_path  # never collected
    settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": MANIFEST}}
    assert tag() is None
    assert counters.snapshot()["tag.failed"] == 1
    assert "could not be put into a page" in caplog.text
    settings.ML_TRACKING = {"track_clicks": "maybe"}
    assert tag() is None
    assert counters.snapshot()["tag.failed"] == 2
