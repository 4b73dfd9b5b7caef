"""`python -m benchmarks._track_shop.others PORT PATH FOLDER SECONDS RATE`: visitors who shop while somebody floods.

Each of a few connections posts a batch at fixed times, as a different visitor from a network of its own. Prints the
latencies in milliseconds and the number of failures as one JSON object.
"""

import http.client
import json
import sys
import threading
import time
from pathlib import Path

CONNECTIONS = 8


def main() -> None:
    """Send for some seconds at a rate a second, over all connections."""
    port, path, folder, seconds, rate = sys.argv[1:]
    cookies = (Path(folder) / "cookies.txt").read_text().split()
    bodies = (Path(folder) / "bodies.txt").read_text().splitlines()
    latencies: list[float] = []
    failed: list[str] = []
    begin = time.monotonic() + 0.5

    def shop(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30)
        sent = 0
        while True:
            due = begin + (number / CONNECTIONS + sent) * CONNECTIONS / float(rate)
            if due > begin + float(seconds):
                break
            time.sleep(max(0.0, due - time.monotonic()))
            visitor = (number + sent * CONNECTIONS) % len(cookies)
            body = bodies[visitor % len(bodies)].replace("@" * 12, f"{number:04x}{sent:08x}")
            headers = {
                "Content-Type": "application/json",
                "Cookie": f"_ml={cookies[visitor]}",
                "X-Forwarded-For": f"203.{visitor % 250}.{number}.7",
                "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0",
            }
            began = time.perf_counter()
            try:
                connection.request("POST", path, body, headers)
                response = connection.getresponse()
                response.read()
                if response.status != 200:
                    failed.append(str(response.status))
            except (OSError, http.client.HTTPException) as error:
                failed.append(repr(error))
                connection.close()
            latencies.append((time.perf_counter() - began) * 1e3)
            sent += 1

    threads = [threading.Thread(target=shop, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"latencies": latencies, "failed": failed}))


if __name__ == "__main__":
    main()
