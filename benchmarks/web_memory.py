"""[web-memory] What the app costs a web process in memory, measured from outside the test runner.

Each figure is of a fresh process that runs Django's own WSGI handler, with no server around it, after the same number
of page requests. `without` is the shop alone; `with` has the app, its middleware and its routes, and has also answered
the track and the recommendations endpoints, with no trained model to load; `loaded` serves trained models. In `with`
and `loaded` importing torch and every other library of the workers raises.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import ROOT, Context, ProofError, Report

TITLE = "The web process: memory with and without the app, torch not importable and everything served"

MOST_MB = 60
RUNS = {True: 3, False: 5}
REQUESTS = {True: 20, False: 500}
"""Rounds of requests by `ctx.quick`; the target is the same for both."""
FORBIDDEN = ("torch", "lightning", "polars", "deltalake", "scipy", "rich", "duckdb", "pyarrow", "pandas", "sklearn")
LISTS = ("personalized", "similar", "popular", "trending", "new", "recently_viewed")

SETTINGS = """
import os
from pathlib import Path
from tests.settings import *

BASE_DIR = Path(__file__).parent / os.environ["STATE"]
BASE_DIR.mkdir(exist_ok=True)
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(BASE_DIR / "db.sqlite3")}}
# One visitor asks for everything here, faster than any person.
ML_LIMITS = {"visitor_burst": 1_000_000, "network_burst": 1_000_000}
ML_AUTO_TRAINING_CONFIG = {"min_interactions": 10, "min_users": 2, "min_products": 2}
if os.environ["STATE"] == "without":
    INSTALLED_APPS = [app for app in INSTALLED_APPS if app != "ml"]
    MIDDLEWARE = [name for name in MIDDLEWARE if not name.startswith("ml.")]
    ROOT_URLCONF = "shopurls"
"""

URLS = """
from django.http import HttpResponse
from django.urls import path

urlpatterns = [
    path("products/<pk>/", lambda request, pk: HttpResponse(f"<html><body>{pk}</body></html>")),
    path("", lambda request: HttpResponse("<html><body>home</body></html>")),
]
"""

PREPARE = """
import json, os
import django; django.setup()
from django.core.management import call_command
from tests.shop.models import Product

call_command("migrate", verbosity=0)
products = [str(Product.objects.create(name=f"Product {n}").pk) for n in range(200)]
if os.environ["STATE"] == "loaded":
    from django.test import Client
    for visitor in range(300):
        mine = products[visitor % 2::2]
        events = [{"event_type": "product_view", "product_id": mine[(visitor * 7 + n) % len(mine)]} for n in range(8)]
        Client().post("/api/ml/track/", json.dumps({"events": events}), content_type="application/json")
    call_command("ml_collect", process=True, verbosity=0)
    call_command("ml_train", all=True, verbosity=0)
"""

SERVE = """
import gc, io, json, os, sys

class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in FORBIDDEN:
            raise ImportError(f"{name} must not be imported by the web process")
        return None

sys.meta_path.insert(0, Forbid())
from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
cookies = {}

def request(method, path, query="", body=b""):
    environ = {
        "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "SERVER_NAME": "shop.test",
        "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.version": (1, 0), "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body), "wsgi.errors": sys.stderr, "wsgi.multithread": True,
        "wsgi.multiprocess": True, "wsgi.run_once": False, "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)), "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
        "HTTP_COOKIE": "; ".join(f"{name}={value}" for name, value in cookies.items()), "REMOTE_ADDR": "192.0.2.1",
    }
    answer = {}
    def start(status, headers, exc_info=None):
        answer["status"] = int(status.split()[0])
        for name, value in headers:
            if name == "Set-Cookie":
                key, _, rest = value.partition("=")
                cookies[key] = rest.partition(";")[0]
    response = application(environ, start)
    answer["body"] = b"".join(response)
    response.close()
    return answer

STATUSES, SOURCES = {}, set()
for number in range(REQUESTS):
    for path in ("/", f"/products/{number % 200 + 1}/"):
        STATUSES.setdefault("page", set()).add(request("GET", path)["status"])
    if os.environ["STATE"] != "without":
        event = {"event_type": "product_view", "product_id": str(number % 200 + 1)}
        STATUSES.setdefault("track", set()).add(
            request("POST", "/api/ml/track/", body=json.dumps({"events": [event]}).encode())["status"]
        )
        for name in LISTS:
            answer = request("GET", "/api/ml/recommendations/", f"type={name}&limit=10&product_id={number % 200 + 1}")
            STATUSES.setdefault(name, set()).add(answer["status"])
            got = json.loads(answer["body"])
            assert got["recommendations"], (name, got)
            SOURCES.update(one["source"] for one in got["meta"]["sources"])
gc.collect()
import psutil
memory = psutil.Process().memory_full_info()
print(json.dumps({
    "uss": memory.uss / 2**20, "rss": memory.rss / 2**20,
    "statuses": {name: sorted(seen) for name, seen in STATUSES.items()},
    "sources": sorted(SOURCES),
    "foreign": sorted(name for name in FORBIDDEN if name in sys.modules),
}))
"""


def _python(code: str, folder: Path, state: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**kept, "PYTHONPATH": f"{ROOT}:{folder}", "DJANGO_SETTINGS_MODULE": "websettings", "STATE": state},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ProofError(f"the process {state!r} failed: {done.stderr[-2000:]}")
    return done.stdout


def run(ctx: Context) -> Report:
    """Measure the three processes and judge the first two."""
    requests, runs = REQUESTS[ctx.quick], RUNS[ctx.quick]
    serve = f"FORBIDDEN = {FORBIDDEN!r}\nLISTS = {LISTS!r}\nREQUESTS = {requests}\n{SERVE}"
    found: dict[str, list[dict]] = {}
    with tempfile.TemporaryDirectory(prefix="ml-web-memory-") as name:
        folder = Path(name)
        (folder / "websettings.py").write_text(SETTINGS, encoding="utf-8")
        (folder / "shopurls.py").write_text(URLS, encoding="utf-8")
        for state in ("without", "with", "loaded"):
            ctx.progress(f"{state}: preparing, then {runs} processes")
            _python(PREPARE, folder, state)
            found[state] = [json.loads(_python(serve, folder, state).splitlines()[-1]) for _ in range(runs)]

    middle = {
        state: {kind: statistics.median(one[kind] for one in found[state]) for kind in ("uss", "rss")}
        for state in found
    }
    report = Report()
    report.table(
        f"Memory of a fresh process after {requests:,} rounds of requests, median of {runs}, MB",
        ["process", "unshared (USS)", "range", "resident (RSS)", "added (USS)"],
        [
            [
                state,
                f"{middle[state]['uss']:.1f}",
                f"{min(one['uss'] for one in found[state]):.1f} to {max(one['uss'] for one in found[state]):.1f}",
                f"{middle[state]['rss']:.1f}",
                f"{middle[state]['uss'] - middle['without']['uss']:.1f}",
            ]
            for state in found
        ],
    )
    for kind in ("uss", "rss"):
        added = round(middle["with"][kind] - middle["without"][kind], 1)
        report.figure(f"added_{kind}", added, target=("<=", MOST_MB), unit="MB")
    report.figure("added_uss_with_models", round(middle["loaded"]["uss"] - middle["without"]["uss"], 1), unit="MB")
    everything = [one for state in ("with", "loaded") for one in found[state]]
    wrong = sum(codes != [200] for one in everything for codes in one["statuses"].values())
    report.figure("kinds_of_request_not_served", wrong, target=("==", 0))
    report.figure("kinds_of_request", len(everything[0]["statuses"]), target=(">=", 8))
    foreign = {name for one in everything for name in one["foreign"]}
    report.figure("worker_libraries_loaded", len(foreign), target=("==", 0))
    report.note(f"Importing any of {', '.join(FORBIDDEN)} raised in every process.")
    report.note(f"Sources that answered, with no model: {', '.join(found['with'][0]['sources'])}")
    report.note(f"Sources that answered, with models: {', '.join(found['loaded'][0]['sources'])}")
    return report
