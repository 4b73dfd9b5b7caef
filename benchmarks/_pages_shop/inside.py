"""`python -m benchmarks._pages_shop.inside sync|async ROUNDS REQUESTS LOAD`: what the two classes add, in process.

Prints one JSON object. Blocks of requests through the stack with and without the two classes alternate. At a LOAD below
1 requests arrive on a schedule that keeps the process busy for that share of the time (without the two classes), and
each is timed from the moment it was due: a request that had to wait for the interpreter, because the background thread
held it, is slower by that wait. At a LOAD of 1 one request follows the other without a gap. Only after a block the
queue is given time to empty.
"""

from __future__ import annotations

import asyncio
import gc
import io
import json
import os
import sys
import time
from array import array
from collections.abc import Callable
from typing import Any

PRODUCTS = 500
AGENTS = [
    f"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{n}.0.0.0 Safari/537.36"
    for n in range(100, 140)
]
VISITORS = 1_000


class Pages:
    """Requests of many visitors, made before the clock runs."""

    def __init__(self) -> None:
        from ml_models.core.ids import uuid7
        from ml_models.data_collection.identity import Identity, sign

        now = int(time.time())
        self.cookies = [sign(Identity(uuid7(), None, now)) for _ in range(VISITORS)]
        self.number = 0

    def headers(self) -> dict[str, str]:
        """Headers as a browser sends them, in the names of WSGI."""
        self.number += 1
        return {
            "HTTP_HOST": "shop.test",
            "HTTP_COOKIE": f"_ml={self.cookies[self.number % VISITORS]}; theme=dark",
            "HTTP_USER_AGENT": AGENTS[self.number % VISITORS % len(AGENTS)],
            "HTTP_REFERER": f"https://search.example/?q=shoes+{self.number % 97}",
            "HTTP_ACCEPT": "text/html,application/xhtml+xml",
            "HTTP_SEC_FETCH_DEST": "document",
            "HTTP_SEC_FETCH_SITE": "cross-site",
        }

    def address(self) -> str:
        """Of the visitor whose turn it is."""
        return f"203.0.{self.number % VISITORS // 250}.{self.number % VISITORS % 250}"

    def environ(self) -> dict[str, Any]:
        """A WSGI request for a product page."""
        headers = self.headers()
        return {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": f"/products/{self.number % PRODUCTS}/",
            "QUERY_STRING": f"utm_source=mail&page={self.number % 7}",
            "SERVER_NAME": "shop.test",
            "SERVER_PORT": "443",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": self.address(),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            **headers,
        }

    def scope(self) -> dict[str, Any]:
        """An ASGI request for the same page as a coroutine."""
        headers = self.headers()
        return {
            "type": "http",
            "method": "GET",
            "path": f"/async/{self.number % PRODUCTS}/",
            "query_string": f"utm_source=mail&page={self.number % 7}".encode(),
            "headers": [(k[5:].lower().replace("_", "-").encode(), v.encode()) for k, v in headers.items()],
            "server": ("shop.test", 443),
            "client": (self.address(), 50_000),
        }


def block(requests: list[Any], ask: Callable[[Any], Any], gap: int) -> dict[str, array[int]]:
    """Times of each request in ns: `wall`; `own`, the CPU of the page's thread; `cpu`, that of the whole process, in
    which the background thread's counts too.

    `gap`: ns from one arrival to the next, 0 for none.
    """
    wall, own, cpu = (array("q", bytes(8 * len(requests))) for _ in range(3))
    due = time.perf_counter_ns()
    for place, request in enumerate(requests):
        if gap:
            due = max(due + gap, time.perf_counter_ns())  # the next visitor is not queued behind a slow page
            while (left := due - time.perf_counter_ns()) > 0:
                time.sleep(left / 1e9)
        else:
            due = time.perf_counter_ns()
        used, mine = time.process_time_ns(), time.thread_time_ns()
        ask(request)
        own[place] = time.thread_time_ns() - mine
        cpu[place] = time.process_time_ns() - used
        wall[place] = time.perf_counter_ns() - due
    return {"wall": wall, "own": own, "cpu": cpu}


def quantile(values: array[int], share: float) -> float:
    """In microseconds."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1e3


def drained(queue: Any) -> None:
    """Wait until everything recorded is stored."""
    while len(queue):
        time.sleep(0.01)


def prompt_timer() -> None:
    """Let Linux wake this process when it asked for it and not up to 50 us later; elsewhere both stacks wait alike."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(29, 1, 0, 0, 0)  # PR_SET_TIMERSLACK, ns


def measure(
    ask_with: Callable[[Any], Any],
    ask_without: Callable[[Any], Any],
    make: Callable[[], Any],
    plan: tuple[int, int, float],
) -> dict[str, Any]:
    """Alternate blocks and say what the quantiles are, per round. `plan`: rounds, requests of a block, load."""
    from ml_models.data_collection.queue import queue

    rounds, count, load = plan
    found: dict[str, list[dict[str, float]]] = {"with": [], "without": []}
    collections = {"with": 0, "without": 0}
    wall = block([make() for _ in range(500)], ask_without, 0)["wall"]
    gap = 0 if load >= 1 else int(quantile(wall, 0.5) * 1e3 / load)
    stacks = {"without": ask_without, "with": ask_with}
    for number in range(rounds + 1):  # the first warms up
        for name in sorted(stacks, reverse=bool(number % 2)):
            requests = [make() for _ in range(count if number else min(count, 500))]
            gc.collect()
            gc.freeze()
            before = sum(one["collections"] for one in gc.get_stats())
            used = time.process_time_ns()
            times = block(requests, stacks[name], gap)
            collected = sum(one["collections"] for one in gc.get_stats()) - before
            drained(queue)
            used = time.process_time_ns() - used
            gc.unfreeze()
            if not number:
                continue
            collections[name] += collected
            row = {"all_cpu": used / len(requests) / 1e3}
            for title, values in times.items():
                row |= {f"{title}_{share}": quantile(values, share) for share in (0.5, 0.9, 0.99, 0.999)}
            found[name].append(row)
    return {"rounds": found, "collections": collections, "gap_us": gap / 1e3}


def sync_pages(middleware: list[str]) -> Callable[[Any], Any]:
    """The WSGI handler with this middleware; asked for a page it reads the answer to its end."""
    from django.core.handlers.wsgi import WSGIHandler
    from django.test import override_settings

    with override_settings(MIDDLEWARE=middleware):
        handler = WSGIHandler()

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        if not status.startswith("200"):
            raise RuntimeError(f"a page answered {status}")

    def ask(environ: Any) -> Any:
        response = handler(environ, start)
        for _ in response:
            pass
        response.close()
        return response

    return ask


def async_pages(middleware: list[str], loop: asyncio.AbstractEventLoop) -> Callable[[Any], Any]:
    """The ASGI handler's chain with this middleware, run in one loop."""
    from django.core.handlers.asgi import ASGIHandler, ASGIRequest
    from django.test import override_settings

    with override_settings(MIDDLEWARE=middleware):
        handler = ASGIHandler()

    async def page(scope: Any) -> Any:
        response = await handler.get_response_async(ASGIRequest(scope, io.BytesIO()))
        if response.status_code != 200:
            raise RuntimeError(f"a page answered {response.status_code}")
        return response

    return lambda scope: loop.run_until_complete(page(scope))


def main() -> None:
    """Measure and print."""
    mode, plan = sys.argv[1], (int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
    prompt_timer()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks._pages_shop.settings")
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    pages = Pages()
    asked: list[str] = []

    def count_query(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        asked.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(count_query):  # of this thread's connection: the pages'
        if mode == "sync":
            stacks = [sync_pages([*settings.STACK, *settings.OURS]), sync_pages(settings.STACK)]
            result = measure(*stacks, pages.environ, plan)
            one = stacks[0](pages.environ())
        else:
            loop = asyncio.new_event_loop()
            stacks = [async_pages(settings.OURS, loop), async_pages([], loop)]
            result = measure(*stacks, pages.scope, plan)
            one = stacks[0](pages.scope())
    from ml_models.data_collection import counters
    from ml_models.data_collection.queue import queue

    drained(queue)
    queries = list(asked)
    from ml_models.adapters.build import get_spool

    result |= {
        "queries": len(queries),
        "vary": one.headers.get("Vary", ""),
        "cookies": len(one.cookies),
        "announced": "ml;desc=" in one.headers.get("Server-Timing", ""),
        "records": get_spool().stats()["records"],
        "counters": counters.snapshot(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
