"""The demo shop: builds it where it is not built yet, then serves it.

    python example/demo.py                                     the generated shop
    python example/demo.py --data ../shared/data/online_retail the same shop from real invoices

Each source of data has a folder of its own under example/.state/. `--fresh` builds it anew.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from simulation.plan import Plan  # noqa: E402  (needs the path above when it is run from elsewhere)
from simulation.recipes import generated, retail  # noqa: E402
from simulation.stages import Build, BuildError, Stage  # noqa: E402

PROCESS_EVERY = 60
"""Seconds between two runs of ml_collect and ml_sync while the shop is served; Celery beat does that in production."""
SMALL = {"days": 60, "shoppers": 600, "products": 620}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, metavar="DIR", help="build from the real invoices in DIR/invoices.parquet")
    parser.add_argument("--fresh", action="store_true", help="throw away what is built and build it anew")
    parser.add_argument("--small", action="store_true", help="a small generated shop, sooner built")
    parser.add_argument("--no-serve", action="store_true", help="only build")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="default 8000, or the next free one")
    parser.add_argument("--state", type=Path, metavar="DIR", help="where the shop's data lives")
    return parser.parse_args(arguments)


def recipe(options: argparse.Namespace) -> tuple[Path, list[Stage]]:
    """The folder of the shop, and the stages that build it."""
    if options.data is not None:
        source = options.data.resolve()
        if not (source / "invoices.parquet").is_file():
            raise BuildError(f"There is no invoices.parquet in {source}. Give the folder that holds it: --data DIR")
        return options.state or HERE / ".state" / source.name, retail(source)
    plan = Plan.new(datetime.now(UTC).date(), **(SMALL if options.small else {}))
    return options.state or HERE / ".state" / ("small" if options.small else "generated"), generated(plan)


def free_port(host: str, wanted: int) -> int:
    """`wanted`, or the next port that nothing listens on."""
    for port in range(wanted, min(wanted + 100, 65_536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise BuildError(f"No port from {wanted} on is free. Name another one: --port")


def serve(build: Build, host: str, port: int) -> int:
    """Serve until interrupted; new events and orders go to the lake meanwhile."""
    chosen = free_port(host, port)
    if chosen != port:
        build.console.print(f"Port {port} is taken, so the shop is at {chosen}.")
    server = subprocess.Popen(
        [
            sys.executable, "-m", "granian", "--interface", "wsgi", "--host", host, "--port", str(chosen), "--workers",
            "1", "--blocking-threads", "4", "--log-level", "warning", "--no-access-log", "bunoraa.wsgi:application",
        ],
        cwd=HERE,
        env=build.environment(),
    )  # fmt: skip
    stopped = threading.Event()

    def collect() -> None:
        while not stopped.wait(PROCESS_EVERY):
            for command in (["ml_collect", "--process"], ["ml_sync"]):
                try:
                    build.manage(*command)
                except BuildError as error:
                    build.console.print(f"[yellow]{error}[/yellow]")

    threading.Thread(target=collect, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    address = f"http://{host}:{chosen}/"
    text = Text.assemble(
        ("The shop is open: ", "bold"), (address, "bold cyan"), "\n\n",
        "Look at three products of one kind, then go back to the start page: “For you” has followed.\n",
        f"Shoppers to log in as, and their password: {address}account/login/\n",
        f"The shop's desk: {address}admin/ (admin, the same password)\n",
        "Ctrl+C closes it.",
    )  # fmt: skip
    build.console.print(Panel(text, border_style="green", expand=False))
    try:
        return server.wait()
    except KeyboardInterrupt:
        server.terminate()
        return server.wait() and 0
    finally:
        stopped.set()
        if server.poll() is None:
            server.terminate()


def main() -> int:
    options = parse()
    console = Console(width=None if sys.stdout.isatty() else 160)
    try:
        state, stages = recipe(options)
        build = Build(state.resolve(), stages, console)
        os.environ.update(BUNORAA_STATE=str(build.state), DJANGO_SETTINGS_MODULE="bunoraa.settings")
        build.run(fresh=options.fresh)
        return 0 if options.no_serve else serve(build, options.host, options.port)
    except BuildError as error:
        console.print(f"[red]{error}[/red]", highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted. The next run goes on from here.")
        return 130


if __name__ == "__main__":
    sys.exit(main())
