"""The demo from its command line: built small, run again, opened over HTTP."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing

import pytest

from tests.waiting import GENEROUS

from .conftest import EXAMPLE

pytestmark = pytest.mark.slow


def demo(state, *arguments):
    command = [sys.executable, str(EXAMPLE / "demo.py"), "--small", "--state", str(state), *arguments]
    # The tests' own settings must not leak into the demo's project.
    environment = {
        key: value
        for key, value in os.environ.items()
        if key not in ("DJANGO_SETTINGS_MODULE", "REDIS_URL", "BUNORAA_STATE")
    }
    return command, environment


def count(state, table):
    with closing(sqlite3.connect(state / "shop.sqlite3")) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "shop"
    command, environment = demo(folder, "--no-serve")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def address(state):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command, environment = demo(state, "--port", str(port))
    with (state / "server.txt").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        url = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                fetch(url + "/")
                break
            except urllib.error.URLError:
                assert server.poll() is None, (state / "server.txt").read_text()
                time.sleep(0.2)
        yield url
        server.send_signal(signal.SIGTERM)
        server.wait(GENEROUS)


def fetch(url):
    with urllib.request.urlopen(url, timeout=GENEROUS) as answer:
        return answer.status, answer.headers, answer.read().decode()


def test_every_posted_event_and_every_order_reached_the_lake_once(state):
    visits = json.loads((state / "visits.json").read_text())
    assert count(state, "shop_order") == visits["orders"] > 50
    import polars as pl

    lake = pl.read_delta(str(state / "ml_data" / "lake"))
    assert lake["event_id"].n_unique() == lake.height
    assert lake.filter(source="js").height == visits["events"]
    assert lake.filter(event_type="purchase").height == visits["orders"]


def test_the_lists_know_the_planted_tastes(state):
    found = json.loads((state / "tastes.json").read_text())
    assert found["shoppers"] >= 10
    assert found["in_favourites"] >= 1.5 * found["popular_in_favourites"]
    assert found["in_favourites"] >= 3 * found["catalogue_in_favourites"]


def test_a_second_run_changes_nothing(state):
    before = (count(state, "shop_order"), count(state, "shop_product"), count(state, "ml_modelversion"))
    command, environment = demo(state, "--no-serve")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "is ready" in done.stdout
    assert (count(state, "shop_order"), count(state, "shop_product"), count(state, "ml_modelversion")) == before


def test_pages_carry_the_tracker_and_their_lists(address):
    status, _, home = fetch(address + "/")
    assert status == 200
    script = re.search(r'<script [^>]*src="/static/js/ml-tracking.js\?v=[^"]+"[^>]*>', home)[0]
    assert 'data-api-url="/api/ml/track/"' in script
    assert 'integrity="sha384-' in script
    assert "defer" not in script  # the shop's own script calls it at once
    for block in ("personalized", "trending", "popular", "new"):
        assert f'data-block="{block}"' in home
    assert 'data-block="recently_viewed"' not in home  # a stranger has viewed nothing
    _, _, category = fetch(address + "/shop/mugs/?sort=price")
    prices = [float(found.replace(",", "")) for found in re.findall(r'class="price"><b[^>]*>€([\d,.]+)', category)][:24]
    assert len(prices) > 3
    assert prices[:5] == sorted(prices[:5])
    product = re.search(r'href="(/products/[^"]+)"', category)[1]
    _, _, page = fetch(address + product)
    assert 'data-block="similar"' in page
    assert 'id="track-product-view"' in page


def test_pictures_may_be_kept_for_ever_and_unknown_ones_are_missing(address):
    _, _, home = fetch(address + "/")
    _, headers, picture = fetch(address + re.search(r'src="(/pictures/[^"]+)"', home)[1])
    assert headers["Content-Type"] == "image/svg+xml"
    assert "immutable" in headers["Cache-Control"]
    assert picture.startswith("<svg")
    with pytest.raises(urllib.error.HTTPError, match="404") as refused:
        fetch(address + "/pictures/dragon-000000-000000-plain-1.svg")
    refused.value.close()


def test_a_port_that_is_taken_is_not_used():
    sys.path.insert(0, str(EXAMPLE))
    from demo import free_port

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        taken = held.getsockname()[1]
        assert free_port("127.0.0.1", taken) > taken
