"""Pages with the tracker: one that is left with events in hand, lists, and pages that break whatever they can."""

from django.contrib.staticfiles.views import serve
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.urls import include, path

from benchmarks._tracker_site.sabotage import SABOTAGE

POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'"

PAGE = """{% load ml %}<!doctype html><html><head><title>{{ title }}</title>
{% for script in before %}<script src="{{ script }}"></script>{% endfor %}
{% ml_tracking %}
{% for script in after %}<script src="{{ script }}" defer></script>{% endfor %}</head>
<body><h1>{{ title }}</h1>
<ul data-ml-rec-id="r1" data-ml-placement="home">{% for n in few %}
<li data-ml-product-id="r{{ n }}"><a href="/other/">Recommended {{ n }}</a></li>{% endfor %}</ul>
<ul>{% for n in few %}<li data-ml-product-id="{{ n }}"><a href="/other/">Product {{ n }}</a></li>{% endfor %}</ul>
<form id="search" action="/other/"><input name="q"><button>Go</button></form>
<a id="away" href="/other/">Away</a></body></html>"""

EXIT = """
const [count, size] = location.hash.slice(1).split("-").map(Number);
addEventListener("pagehide", () => {
  for (let n = 0; n < count; n++) {
    BunoraaML.track("probe", { run: location.search.slice(1), n, a: "x".repeat(size / 2), b: "x".repeat(size / 2) });
  }
});
"""
"""Records `count` events of about `size` bytes right when the page goes; the address says how many, for which run."""

USE = """
const tries = [
  () => BunoraaML.trackProductView({ product_id: 1 }),
  () => BunoraaML.trackAddToCart({ product_id: 1, quantity: 2, price: 9.99 }),
  () => BunoraaML.trackPurchase({ order_id: "1", order_value: 5 }),
  () => BunoraaML.trackSearch({ query: "tea" }),
  () => BunoraaML.track("anything", { at: 1 }),
  () => BunoraaML.consent("granted"),
  () => BunoraaML.flush(),
  () => document.getElementById("search").dispatchEvent(new Event("change", { bubbles: true })),
  () => document.querySelector("li").click(),
  () => document.dispatchEvent(new Event("pointermove")),
  () => document.dispatchEvent(new Event("scroll")),
  () => dispatchEvent(new Event("blur")),
  () => dispatchEvent(new Event("online")),
  () => dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true })),
  () => history.pushState(null, "", "?route=2"),
  () => dispatchEvent(new Event("pagehide")),
];
for (let n = 0; n < tries.length; n++) {
  // What the sabotage itself does to this script is not the tracker's doing: only what is thrown by it counts.
  try { tries[n](); } catch (error) { if (String(error && error.stack).includes("ml-tracking")) throw error; }
}
"""
"""Everything a page may do with the tracker, once."""


def page(
    request: HttpRequest, title: str = "page", before: tuple[str, ...] = (), after: tuple[str, ...] = ()
) -> HttpResponse:
    """One page of the site."""
    template = engines["django"].from_string(PAGE)
    names = {"title": title, "before": before, "after": after, "few": range(1, 5)}
    return HttpResponse(template.render(names, request))


def broken(request: HttpRequest, name: str) -> HttpResponse:
    """A page that breaks something before the tracker is loaded, then uses all of the tracker."""
    return page(request, name, before=(f"/script/{name}.js",), after=("/script/use.js",))


def script(request: HttpRequest, name: str) -> HttpResponse:
    """A script of the site itself."""
    code = {"exit": EXIT, "use": USE, **SABOTAGE}[name]
    return HttpResponse(code, content_type="text/javascript")


def strict_policy(get_response):  # type: ignore[no-untyped-def]
    """The policy on every answer."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response: HttpResponse = get_response(request)
        response["Content-Security-Policy"] = POLICY
        return response

    return middleware


urlpatterns = [
    path("", page),
    path("other/", page, {"title": "other"}),
    path("exit/", page, {"title": "exit", "after": ("/script/exit.js",)}),
    path("broken/<str:name>/", broken),
    path("script/<str:name>.js", script),
    path("static/<path:path>", serve, {"insecure": True}),
    path("favicon.ico", lambda request: HttpResponse(status=204)),
    path("api/ml/", include("ml.api.urls")),
]
