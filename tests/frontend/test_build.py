"""The committed tracker: small, built from its sources, in step with the event's declaration."""

import gzip
import importlib.util
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.waiting import GENEROUS

ROOT = Path(__file__).resolve().parents[2]
FRONTEND = ROOT / "frontend"
BUILT = ROOT / "src/ml_models/static/js/ml-tracking.js"

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
needs_modules = pytest.mark.skipif(
    not (FRONTEND / "node_modules").is_dir(), reason="frontend/node_modules is absent; run: npm ci --prefix frontend"
)


def test_the_tracker_is_at_most_five_kilobytes_packed():
    assert len(gzip.compress(BUILT.read_bytes(), 9)) <= 5 * 1024


def test_it_runs_under_a_strict_content_policy():
    code = BUILT.read_text(encoding="utf-8")
    for forbidden in ("eval(", "new Function", "innerHTML", "document.write", "unload"):
        assert forbidden not in code, forbidden


def test_the_vocabulary_follows_the_declaration():
    spec = importlib.util.spec_from_file_location("vocabulary", FRONTEND / "vocabulary.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.TARGET.read_text(encoding="utf-8") == module.render(), "run: python frontend/vocabulary.py"


def test_the_lockfile_names_no_host():
    text = (FRONTEND / "package-lock.json").read_text(encoding="utf-8")
    assert '"resolved"' not in text
    assert "://" not in text.replace('"url": "https://opencollective.com', "")


@needs_node
@needs_modules
def test_the_committed_file_is_what_the_sources_build(tmp_path):
    target = tmp_path / "ml-tracking.js"
    subprocess.run(["node", "build.mjs", "--out", str(target)], cwd=FRONTEND, check=True, timeout=GENEROUS)
    for ending in (".js", ".js.map", ".d.ts"):
        built = BUILT.with_name("ml-tracking" + ending).read_bytes()
        assert target.with_name("ml-tracking" + ending).read_bytes() == built, "run: npm run build --prefix frontend"


@needs_node
@needs_modules
def test_the_types_hold():
    done = subprocess.run(
        ["node", "node_modules/typescript/bin/tsc", "--noEmit"],
        cwd=FRONTEND,
        capture_output=True,
        text=True,
        timeout=GENEROUS,
    )
    assert done.returncode == 0, done.stdout


@needs_node
@needs_modules
def test_the_types_hold_in_a_shop_that_is_written_in_typescript(tmp_path):
    """The shipped declarations, by themselves and strictly; what is wrong is refused."""
    shutil.copy(BUILT.with_name("ml-tracking.d.ts"), tmp_path)
    head = 'import "./ml-tracking";\nconst ml = window.BunoraaML!;\n'
    right = 'ml.trackAddToCart({ product_id: 1, own: true }); ml.track("own_name"); ml.consent("granted");'
    wrong = ["ml.trackAddToCart({});", 'ml.consent("perhaps");', "ml.trackSearch();"]
    results = []
    for number, line in enumerate([right, *wrong]):
        (tmp_path / f"shop{number}.ts").write_text(head + line, encoding="utf-8")
        command = [
            "node",
            "node_modules/typescript/bin/tsc",
            "--noEmit",
            "--strict",
            str(tmp_path / f"shop{number}.ts"),
        ]
        results.append(
            subprocess.run(command, cwd=FRONTEND, capture_output=True, check=False, timeout=GENEROUS).returncode
        )
    assert results[0] == 0
    assert all(results[1:])


@needs_node
@needs_modules
def test_the_trackers_own_tests_pass():
    files = sorted(str(path.relative_to(FRONTEND)) for path in (FRONTEND / "test").glob("*.test.mjs"))
    assert len(files) >= 5
    done = subprocess.run(["node", "--test", *files], cwd=FRONTEND, capture_output=True, text=True, timeout=GENEROUS)
    assert done.returncode == 0, done.stdout[-5000:]


def test_the_source_map_names_the_sources():
    table = json.loads(BUILT.with_name("ml-tracking.js.map").read_text(encoding="utf-8"))
    sources = {(BUILT.parent / name).resolve() for name in table["sources"]}
    assert sources <= set((FRONTEND / "src").glob("*.ts"))
    assert FRONTEND / "src" / "transport.ts" in sources
    assert BUILT.read_text(encoding="utf-8").endswith("//# sourceMappingURL=ml-tracking.js.map\n")
