"""[fresh-clone] A clone of HEAD in an empty folder, with no environment: `make demo` until it answers, `make test`.

What the package index takes is measured apart: the same requirements are first installed into an environment that is
thrown away, which fills pip's cache; `make demo` then builds its own environment from that cache. Its time runs from
the command to the first page served. The processes are held to two cores and get no variable of the caller's
environment but the few that say where programs and package indexes are.

The quick version looks at the clone with the packages that are installed already: it proves that the commit is complete
and starts, not how long anything takes.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from benchmarks.harness import ROOT, Context, ProofError, Report

TITLE = "In a fresh clone with no environment: make demo up in 6 minutes on 2 cores after downloads; make test green"

MOST_SECONDS = 360
GIVE_UP_SECONDS = 1_500
CORES = 2
_KEPT = re.compile(r"PIP_(?!REQUIRE_VIRTUALENV).*|(HTTPS?|NO)_PROXY|(https?|no)_proxy|SSL_CERT_(FILE|DIR)|LANG")
_ADDRESS = re.compile(r"http://(?:127\.0\.0\.1|localhost|0\.0\.0\.0):\d+\S*")


def _environment(folder: Path) -> dict[str, str]:
    """PATH with this Python first, a home of its own, and where package indexes are; nothing else."""
    kept = {name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)}
    path = [str(Path(sys.base_prefix) / "bin"), "/usr/local/bin", "/usr/bin", "/bin"]
    home = folder / "home"
    home.mkdir(exist_ok=True)
    return {**kept, "PATH": ":".join(path), "HOME": str(home), "PIP_CACHE_DIR": str(folder / "pip")}


def _two_cores() -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])


def _run(command: list[str], folder: Path, env: dict[str, str]) -> tuple[float, str]:
    """Seconds and output of a command; raises `ProofError` with its last lines when it fails."""
    started = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        preexec_fn=_two_cores,
    )
    if done.returncode:
        raise ProofError(f"`{' '.join(command)}` failed:\n" + "\n".join(done.stdout.splitlines()[-30:]))
    return time.perf_counter() - started, done.stdout


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):  # not yet
        return False


def _demo(ctx: Context, folder: Path, env: dict[str, str]) -> tuple[float, str]:
    """Seconds from `make demo` to its first page, and the address; the server is stopped again."""
    started = time.perf_counter()
    lines: list[str] = []
    with subprocess.Popen(
        ["make", "demo"],
        cwd=folder,
        env={**env, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=_two_cores,
    ) as process:
        assert process.stdout is not None
        output = process.stdout

        def read() -> None:
            for line in output:
                lines.append(line.rstrip())
                ctx.progress(lines[-1])

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            while True:
                seconds = time.perf_counter() - started
                for address in {found.rstrip(".,)") for line in lines for found in _ADDRESS.findall(line)}:
                    if _answers(address):
                        return seconds, address
                if process.poll() is not None or seconds > GIVE_UP_SECONDS:
                    raise ProofError("make demo served nothing:\n" + "\n".join(lines[-30:]))
                time.sleep(0.2)
        finally:
            # The whole group: make, the demo and the server's workers.
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
                try:
                    process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
            reader.join(timeout=5)


def _tests(output: str) -> tuple[int, int, int]:
    """Passed, failed and skipped, summed over pytest's closing lines."""
    closing = [line for line in output.splitlines() if re.search(r"\d+ (passed|failed).* in [\d.]+s", line)]
    if not closing:
        raise ProofError("pytest printed no closing line")
    passed, failed, skipped = (
        sum(int(number) for line in closing for number in re.findall(rf"(\d+) {word}", line))
        for word in ("passed", "(?:failed|error)", "skipped")
    )
    return passed, failed, skipped


def run(ctx: Context) -> Report:
    """Clone, then the two commands of the README."""
    if shutil.which("make") is None or shutil.which("git") is None:
        raise ProofError("make and git are needed")
    with tempfile.TemporaryDirectory(prefix="ml-fresh-clone-") as name:
        folder = Path(name)
        env, clone = _environment(folder), folder / "clone"
        commit = _run(["git", "rev-parse", "HEAD"], ROOT, env | {"HOME": os.environ.get("HOME", "/")})[1].strip()
        _run(["git", "clone", "--quiet", f"file://{ROOT}", str(clone)], folder, dict(os.environ))
        if ctx.data.is_dir():
            (folder / "shared").symlink_to(ctx.data.parent)  # tests on real data look beside the clone
        report = _quick(clone) if ctx.quick else _full(ctx, folder, clone, env)
        report.note(f"Commit {commit}, cloned into an empty folder.")
        return report


def _quick(clone: Path) -> Report:
    """The commit is complete and starts, with the packages of this environment."""
    env = {**os.environ, "PYTHONPATH": f"{clone / 'src'}:{clone}", "BUNORAA_STATE": str(clone.parent / "state")}
    report = Report()
    _run(["make", "-n", "demo"], clone, env)
    _, where = _run([sys.executable, "-c", "import ml_models; print(ml_models.__file__)"], clone, env)
    report.figure("runs_from_the_clone", where.startswith(str(clone)), target=("==", True))
    seconds, _ = _run([sys.executable, "manage.py", "check"], clone / "example", env)
    report.figure("demo_check_seconds", round(seconds, 1), unit="s")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/house/test_facade.py"]
    passed, failed, _ = _tests(_run(command, clone, env)[1])
    report.figure("tests_passed", passed, target=(">=", 5))
    report.figure("tests_failed", failed, target=("==", 0))
    return report


def _full(ctx: Context, folder: Path, clone: Path, env: dict[str, str]) -> Report:
    report = Report()
    ctx.progress("filling pip's cache from the package index")
    throwaway = folder / "throwaway"
    _run(["python3", "-m", "venv", str(throwaway)], folder, env)
    pip = [str(throwaway / "bin/pip"), "install", "-q", "-c", "constraints.txt", ".[dev]"]
    report.figure("downloads_seconds", round(_run(pip, clone, env)[0], 1), unit="s")
    shutil.rmtree(throwaway)
    shutil.rmtree(clone / "build", ignore_errors=True)

    ctx.progress("make demo")
    seconds, address = _demo(ctx, clone, env)
    report.figure("demo_seconds", round(seconds, 1), target=("<=", MOST_SECONDS), unit="s")
    report.note(f"The demo answered at {address}.")

    ctx.progress("make test")
    seconds, output = _run(["make", "test"], clone, env)
    passed, failed, skipped = _tests(output)
    report.figure("test_seconds", round(seconds, 1), unit="s")
    report.figure("tests_passed", passed, target=(">=", 500))
    report.figure("tests_failed", failed, target=("==", 0))
    report.figure("tests_skipped", skipped)
    reasons = [line.strip() for line in output.splitlines() if line.startswith("SKIPPED")]
    report.table("Skipped tests", ["reason"], [[line] for line in reasons])
    return report
