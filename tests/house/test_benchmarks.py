"""The runner of proofs: figures against targets, one JSON line last, the exit code is the verdict."""

import io
import json
import random
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from benchmarks import fuzz_track, harness
from benchmarks._track_shop import marked
from benchmarks.harness import Context, ProofError, Report, Skip, run_proof
from ml_models.adapters.dead_letters import DeadLetters
from ml_models.data_collection import counters
from ml_models.data_collection.privacy import clean_payload


@pytest.fixture
def run(tmp_path):
    def run(prove, **options):
        text = io.StringIO()
        ctx = Context("some-proof", out=tmp_path / "out", data=tmp_path, console=Console(file=io.StringIO()))
        module = SimpleNamespace(TITLE="what is proven", run=prove)
        code = run_proof(module, ctx, console=Console(file=text, width=100), **options)
        return code, json.loads(text.getvalue().splitlines()[-1]), text.getvalue()

    return run


def report(value, target):
    found = Report()
    found.figure("lost", value, target=target, unit="events")
    found.table("counted", ["what", "n"], [["written", 10_000], ["share", 0.25]])
    found.note("a note")
    return found


@pytest.mark.parametrize(
    ("value", "target", "code"),
    [
        (0, ("<=", 0), 0),
        (1, ("<=", 0), 1),
        (0.5, (">=", 0.5), 0),
        (0.49, (">=", 0.5), 1),
        (3, ("==", 3), 0),
        (3, ("<", 3), 1),
        (4, (">", 3), 0),
        (float("nan"), (">=", 0), 1),
        (float("nan"), ("<=", 0), 1),
        (True, ("==", True), 0),
    ],
)
def test_the_exit_code_says_whether_the_targets_are_met(run, value, target, code):
    got, line, text = run(lambda ctx: report(value, target))
    assert got == code
    assert line["ok"] is (code == 0)
    assert line["figures"]["lost"]["ok"] is (code == 0)
    assert line["figures"]["lost"]["target"] == f"{target[0]} {target[1]}"
    assert line["figures"]["lost"]["unit"] == "events"
    assert line["figures"]["wall_seconds"]["value"] >= 0
    assert line["notes"] == ["a note"]
    assert "10,000" in text


def test_a_proof_without_any_target_proves_nothing(run):
    code, line, _ = run(lambda ctx: report(3, None))
    assert (code, line["ok"]) == (1, False)


def test_one_missed_target_among_others_fails(run):
    def prove(ctx):
        found = report(0, ("<=", 0))
        found.figure("twice", 1, target=("<=", 0))
        return found

    assert run(prove)[0] == 1


def test_the_json_file_holds_the_last_line(run, tmp_path):
    path = tmp_path / "deep/result.json"
    _, line, _ = run(lambda ctx: report(0, ("<=", 0)), json_path=path)
    assert json.loads(path.read_text(encoding="utf-8")) == line


def test_a_skip_prints_its_reason(run, monkeypatch):
    def prove(ctx):
        raise Skip("the data is not here")

    for ci in ("", "true"):
        monkeypatch.setenv("CI", ci)
        code, line, text = run(prove)
        assert (code, line["skipped"], line["ok"]) == (0, "the data is not here", True)
        assert "the data is not here" in text


def test_a_missing_server_is_a_failure_where_servers_are_promised(run, monkeypatch):
    def prove(ctx):
        raise Skip("no Redis", server=True)

    monkeypatch.delenv("CI", raising=False)
    assert run(prove)[0] == 0
    monkeypatch.setenv("CI", "true")
    code, line, _ = run(prove)
    assert (code, line["ok"], line["skipped"]) == (1, False, "no Redis")


def test_a_proof_that_cannot_be_finished_says_why_and_fails(run):
    def prove(ctx):
        raise ProofError("make demo served nothing: [Errno 98] address in use")

    code, line, text = run(prove)
    assert (code, line["ok"]) == (1, False)
    assert line["error"] in text.replace("\n", " ")


def test_files_of_an_earlier_run_are_gone_and_an_empty_folder_is_not_left(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/old.png").write_bytes(b"x")

    def prove(ctx):
        assert list(ctx.out.iterdir()) == []
        return report(0, ("<=", 0))

    run(prove)
    assert not (tmp_path / "out").exists()


def test_mistakes_in_a_proof_are_named():
    found = Report()
    found.figure("a", 1)
    with pytest.raises(ProofError, match="twice"):
        found.figure("a", 2)
    with pytest.raises(ProofError, match="is not one of"):
        found.figure("b", 2, target=("~", 1))
    with pytest.raises(ProofError, match="Did you mean"):
        harness.find(next(iter(harness.proofs())) + "x")


def test_every_module_is_a_proof_with_a_title_and_a_run():
    names = {path.stem.replace("_", "-") for path in harness.HERE.glob("*.py")} - {"--init--", "--main--", "harness"}
    assert {name for name in names if not name.startswith("-")} == set(harness.proofs())
    for name in harness.proofs():
        assert callable(harness.find(name).run), name


def test_the_fuzz_proof_sees_cut_letters_and_what_a_clean_up_leaves(tmp_path):
    dead = DeadLetters(tmp_path / "ml_data" / "dead_letters")
    dead.write_all([DeadLetters.letter("missing", "", b"{}")] * 2)
    counters.reset()
    counters.add("dead_letters.cut")
    counters.save(tmp_path / "ml_data" / "counters")
    counters.reset()
    found = fuzz_track._letters(tmp_path)
    assert (found["letters"], found["cut"], found["after_31_days"]) == (2, 1, 0)


@pytest.mark.parametrize("reason", ["", "unknown_type"])
def test_no_mark_of_a_malformed_event_is_kept(reason):
    """What `fuzz-track` sends for known visitors, many more of them than its quick form has."""
    source = Path(marked.__file__).read_text(encoding="utf-8")
    assert marked.MARK not in source
    assert marked.IP not in source
    rng = random.Random(7)
    kept = [clean_payload(json.dumps(marked._malformed(rng)).encode(), reason).decode() for _ in range(3_000)]
    assert [payload for payload in kept if marked.MARK in payload or f"{marked.IP}." in payload] == []
