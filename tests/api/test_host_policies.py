"""What a shop does to its endpoints (catalogue.md of the design, section 3): none of it may break the track endpoint.

Each test puts the host's policy in force in the host's own stack and posts as a browser does: no token, any type.
"""

import json

import pytest
from asgiref.sync import async_to_sync
from django.conf.urls.i18n import i18n_patterns
from django.db import connections
from django.http import HttpResponse, JsonResponse
from django.test import Client
from django.urls import include, path, resolve

from tests.api.conftest import URL

VIEW = {"event_type": "product_view", "product_id": "7"}
BODY = json.dumps({"events": [VIEW]})

pytestmark = pytest.mark.django_db


def beacon(url=URL, body=BODY, content_type="text/plain;charset=UTF-8", **headers):
    """What `sendBeacon` sends: no token, no JSON type; the host's CSRF rules are in force."""
    return Client(enforce_csrf_checks=True).post(url, body, content_type=content_type, headers=headers)


def taken(response, recorded, number=1):
    assert response.status_code == 200, response.content
    assert len(recorded.events) == number
    return response.json()


# -- Django REST framework --------------------------------------------------------------------------


def _strict_framework():
    return {
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
        "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
        "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.AnonRateThrottle"],
        "DEFAULT_THROTTLE_RATES": {"anon": "2/hour"},
        "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    }


def test_global_rules_of_the_rest_framework_do_not_apply(recorded, settings):
    pytest.importorskip("rest_framework")
    settings.REST_FRAMEWORK = _strict_framework()
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "rest_framework"]
    from rest_framework.views import APIView

    class Own(APIView):
        def post(self, request):
            return HttpResponse("taken")

    # The rules are in force: a view of the host's own refuses the same request.
    from django.test import RequestFactory

    assert Own.as_view()(RequestFactory().post("/x/", BODY, content_type="text/plain")).status_code in (401, 403, 415)
    for number in range(1, 6):
        taken(beacon(), recorded, number)


# -- middleware of the host -------------------------------------------------------------------------


def wraps_json(get_response):
    """Gives every JSON answer below /api/ without `success` an envelope, as a real shop does."""

    def middleware(request):
        response = get_response(request)
        if request.path.startswith("/api/") and response["Content-Type"].startswith("application/json"):
            inner = json.loads(response.content)
            if "success" not in inner:
                wrapped = JsonResponse(
                    {"success": response.status_code < 400, "data": inner}, status=response.status_code
                )
                wrapped.cookies = response.cookies
                return wrapped
        return response

    return middleware


def reads_the_body(get_response):
    def middleware(request):
        assert request.body
        return get_response(request)

    return middleware


def reads_the_form(get_response):
    def middleware(request):
        request.POST.get("csrfmiddlewaretoken")
        return get_response(request)

    return middleware


def reads_the_stream(get_response):
    def middleware(request):
        request.read(10)
        return get_response(request)

    return middleware


def requires_login(get_response):
    def middleware(request):
        if getattr(resolve(request.path_info).func, "login_required", True) and not request.user.is_authenticated:
            return HttpResponse("log in first", status=401)
        return get_response(request)

    return middleware


def opens_the_session(get_response):
    def middleware(request):
        request.session["seen"] = True
        return get_response(request)

    return middleware


def with_middleware(settings, *names):
    ours = [f"tests.api.test_host_policies.{name}" if "." not in name else name for name in names]
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, *ours]


def test_an_answer_that_is_wrapped_is_still_an_answer(recorded, settings):
    with_middleware(settings, "wraps_json")
    answer = taken(beacon(), recorded)
    assert answer == {"success": True, "data": {"status": "ok", "processed": 1}}
    assert "_ml" in beacon().cookies


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("reader", ["reads_the_body", "reads_the_form"])
def test_a_body_that_was_read_before_is_read_again(recorded, settings, reader, content_type):
    with_middleware(settings, reader)
    taken(beacon(content_type=content_type), recorded)


def test_a_multipart_form_is_refused_and_not_an_error(recorded, settings):
    with_middleware(settings, "reads_the_form")
    body = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n'
    assert beacon(body=body, content_type="multipart/form-data; boundary=x").status_code == 400
    assert recorded.events == []


def test_a_body_of_which_a_part_is_gone_is_refused_and_not_an_error(recorded, settings):
    with_middleware(settings, "reads_the_stream")
    assert beacon().status_code == 400
    assert recorded.events == []


def test_csrf_is_not_asked_for(recorded, settings):
    with_middleware(settings, "django.middleware.csrf.CsrfViewMiddleware")
    taken(beacon(), recorded)


def test_a_login_wall_lets_it_through(recorded, settings):
    settings.ROOT_URLCONF = "tests.api.urls"
    with_middleware(settings, "django.contrib.auth.middleware.LoginRequiredMiddleware")
    assert beacon("/account/", "x").status_code == 302
    taken(beacon(), recorded)


def test_a_login_wall_of_the_shops_own_finds_djangos_mark(recorded, settings):
    settings.ROOT_URLCONF = "tests.api.urls"
    with_middleware(settings, "requires_login")
    assert beacon("/account/", "x").status_code == 401
    taken(beacon(), recorded)


def test_answers_may_be_packed(recorded, settings):
    settings.MIDDLEWARE = ["django.middleware.gzip.GZipMiddleware", *settings.MIDDLEWARE]
    taken(beacon(**{"Accept-Encoding": "gzip"}), recorded)


def test_security_and_conditional_middleware_change_nothing(recorded, settings):
    settings.MIDDLEWARE = [
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
        *settings.MIDDLEWARE,
    ]
    taken(beacon(), recorded)


def test_a_session_that_every_request_opens_changes_nothing(recorded, settings):
    with_middleware(settings, "opens_the_session")
    taken(beacon(), recorded)


def test_a_cache_of_whole_pages_keeps_no_answer(recorded, settings):
    settings.MIDDLEWARE = [
        "django.middleware.cache.UpdateCacheMiddleware",
        *settings.MIDDLEWARE,
        "django.middleware.cache.FetchFromCacheMiddleware",
    ]
    taken(beacon(), recorded)
    assert beacon()["Cache-Control"] == "no-store"
    assert len(recorded.events) == 2


# -- settings of the host ---------------------------------------------------------------------------


def test_the_hosts_limits_of_uploads_are_for_its_own_forms(recorded, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 1
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 1
    taken(beacon(), recorded)


def test_no_database_of_the_host_gets_a_transaction_for_the_request(recorded, monkeypatch):
    from django.core.handlers import base

    for alias in connections:
        monkeypatch.setitem(connections[alias].settings_dict, "ATOMIC_REQUESTS", True)
        monkeypatch.setitem(connections.settings[alias], "ATOMIC_REQUESTS", True)
    monkeypatch.setattr(base.transaction, "atomic", lambda using=None: lambda view: pytest.fail("atomic"))
    taken(beacon(), recorded)


def test_no_database_of_any_name_is_atomic():
    exempt = resolve(URL).func._non_atomic_requests
    assert all(alias in exempt for alias in ("default", "replica", "analytics"))


def test_urls_with_a_language_in_front_work(recorded, settings):
    from types import ModuleType

    urls = ModuleType("prefixed_urls")
    urls.urlpatterns = i18n_patterns(path("api/ml/", include("ml.api.urls")))
    settings.ROOT_URLCONF = urls
    settings.USE_I18N = True
    settings.LANGUAGES = [("en", "English"), ("de", "Deutsch")]
    settings.MIDDLEWARE = ["django.middleware.locale.LocaleMiddleware", *settings.MIDDLEWARE]
    taken(beacon("/de/api/ml/track/"), recorded)
    taken(beacon("/en/api/ml/track/"), recorded, 2)


def test_a_host_with_a_custom_admin_and_no_sessions_works(recorded, settings):
    settings.INSTALLED_APPS = [name for name in settings.INSTALLED_APPS if name != "django.contrib.sessions"]
    settings.MIDDLEWARE = []
    taken(beacon(), recorded)


def test_another_origin_is_none_of_the_hosts_cors_rules(recorded, settings):
    settings.ML_API = {"allowed_origins": ["https://www.partner.example"]}
    recorded.install()
    response = beacon(**{"Origin": "https://www.partner.example", "Sec-Fetch-Site": "cross-site"})
    taken(response, recorded)
    assert response["Access-Control-Allow-Origin"] == "https://www.partner.example"


# -- ASGI -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", [None, "reads_the_body", "wraps_json"])
def test_it_works_under_asgi_behind_the_same_middleware(async_client, recorded, settings, reader):
    if reader:
        with_middleware(settings, reader)
    response = async_to_sync(async_client.post)(URL, BODY, content_type="text/plain")
    taken(response, recorded)


def test_a_client_that_goes_away_is_no_error_of_ours(recorded):
    from django.test import RequestFactory

    request = RequestFactory().post(URL, BODY, content_type="text/plain")

    class Gone:
        def read(self, *args):
            raise OSError("the client went away")

    request._stream = Gone()
    request._read_started = False
    response = resolve(URL).func(request)
    assert response.status_code == 400
    assert recorded.events == []
