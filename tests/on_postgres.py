"""`python -m tests.on_postgres`: the contracts of a database once more, on PostgreSQL instead of SQLite."""

import os
import subprocess
import sys
from urllib.parse import urlsplit

from tests.servers import NoServer, postgres_server


def main() -> int:
    try:
        with postgres_server() as server:
            # A name of its own for each run: Django makes `test_<name>` of it, and runs may overlap.
            url = urlsplit(server)._replace(path=f"/ml_{os.getpid()}").geturl()
            command = [sys.executable, "-m", "pytest", "-m", "both_databases", "-q", *sys.argv[1:]]
            done = subprocess.run(command, env={**os.environ, "DATABASE_URL": url}, check=False)
            return done.returncode
    except NoServer as error:
        print(f"not run on PostgreSQL: {error}")  # noqa: T201 (a command line)
        return int(os.environ.get("CI", "").lower() == "true")


if __name__ == "__main__":
    sys.exit(main())
