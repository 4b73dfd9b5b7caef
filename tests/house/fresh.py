"""Python in a process of its own: what an import does can only be seen where it has not happened yet."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.waiting import GENEROUS

ROOT = Path(__file__).resolve().parents[2]
_NOT_HANDED_ON = ("DJANGO_SETTINGS_MODULE", "PYTHONPATH", "DATABASE_URL", "REDIS_URL", "PRODUCTION")

FORBID = """
import sys

class Forbid:
    def __init__(self, names):
        self.names = names

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ImportError(f"{name} must not be imported here")
        return None

def forbid(*names):
    loaded = [name for name in names if name in sys.modules]
    assert not loaded, loaded
    sys.meta_path.insert(0, Forbid(names))
"""
"""Defines `forbid(*names)`: from then on importing one of the packages raises."""


def python(code: str, *arguments: str, cwd: Path = ROOT, **environment: str) -> str:
    """Run code with warnings as errors; returns what it printed, fails with what it complained about."""
    env = {name: value for name, value in os.environ.items() if name not in _NOT_HANDED_ON}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *arguments],
        cwd=cwd,
        env={**env, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=GENEROUS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
