"""Building stage by stage: resumes, starts over what must be whole, and never runs twice at once."""

import io
import json

import pytest
from rich.console import Console
from simulation import stages
from simulation.stages import MARK, Build, BuildError, Stage


class Recorder:
    """Stages that note that they ran, and fail when told to."""

    def __init__(self, folder):
        self.folder, self.ran, self.failing = folder, [], ""

    def stage(self, name, fills=False):
        def run(build, report):
            report(0.5, "half")
            self.ran.append(name)
            if name == self.failing:
                raise BuildError(f"{name} failed")
            (build.state / name).write_text("done")
            return f"{name} is done"

        return Stage(name, f"Doing {name}", run, fills)

    def build(self):
        stages = [self.stage("tables", True), self.stage("visits", True), self.stage("train"), self.stage("evaluate")]
        self.output = io.StringIO()
        return Build(self.folder, stages, Console(file=self.output, width=100))


@pytest.fixture
def recorder(tmp_path):
    return Recorder(tmp_path / "shop")


def test_a_second_run_does_nothing(recorder):
    recorder.build().run()
    recorder.ran.clear()
    recorder.build().run()
    assert recorder.ran == []
    assert "is ready" in recorder.output.getvalue()


def test_a_failed_late_stage_is_resumed_and_what_is_done_is_kept(recorder):
    recorder.failing = "train"
    with pytest.raises(BuildError, match="train failed"):
        recorder.build().run()
    recorder.failing = ""
    recorder.build().run()
    assert recorder.ran == ["tables", "visits", "train", "train", "evaluate"]


def test_an_interrupted_filling_starts_over_from_nothing(recorder):
    recorder.failing = "visits"
    with pytest.raises(BuildError, match="visits failed"):
        recorder.build().run()
    (recorder.folder / "half-written").write_text("from the first run")
    recorder.failing = ""
    recorder.build().run()
    assert recorder.ran == ["tables", "visits", "tables", "visits", "train", "evaluate"]
    assert not (recorder.folder / "half-written").exists()


def test_fresh_throws_everything_away(recorder):
    recorder.build().run()
    (recorder.folder / "old").write_text("")
    recorder.build().run(fresh=True)
    assert recorder.ran == ["tables", "visits", "train", "evaluate"] * 2
    assert not (recorder.folder / "old").exists()


@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_of_somebody_else_is_left_alone(recorder, fresh):
    recorder.folder.mkdir()
    (recorder.folder / "thesis.txt").write_text("years of work")
    with pytest.raises(BuildError, match=r"holds files that no build of this shop made.*--state DIR"):
        recorder.build().run(fresh=fresh)
    assert recorder.ran == []
    assert [path.name for path in recorder.folder.iterdir()] == ["thesis.txt"]


def test_an_empty_folder_and_one_of_an_earlier_release_are_taken(recorder):
    recorder.folder.mkdir()
    recorder.build().run()
    (recorder.folder / MARK).unlink()  # as earlier releases left it
    recorder.build().run(fresh=True)
    assert recorder.ran == ["tables", "visits", "train", "evaluate"] * 2


def test_what_a_command_left_in_the_demos_own_folder_is_no_hindrance(recorder, monkeypatch, tmp_path):
    monkeypatch.setattr(stages, "HERE", tmp_path)
    recorder.folder = tmp_path / ".state" / "generated"
    (recorder.folder / "logs").mkdir(parents=True)  # as `manage.py check` does before the first build
    recorder.build().run()
    assert recorder.ran == ["tables", "visits", "train", "evaluate"]


def test_a_filling_interrupted_at_once_starts_over(recorder):
    recorder.failing = "tables"
    with pytest.raises(BuildError, match="tables failed"):
        recorder.build().run()
    (recorder.folder / "half-written").write_text("from the first run")
    recorder.failing = ""
    recorder.build().run()
    assert not (recorder.folder / "half-written").exists()


def test_a_file_in_the_place_of_the_folder_is_said_in_words(recorder):
    recorder.folder.write_text("a file")
    with pytest.raises(BuildError, match="cannot be emptied"):
        recorder.build().run()
    assert recorder.folder.read_text() == "a file"


def test_two_builds_of_one_shop_do_not_run_at_once(recorder):
    build = recorder.build()
    other = recorder.build()

    def meanwhile(inner, report):
        with pytest.raises(BuildError, match="another process"):
            other.run()
        return ""

    build.stages = [Stage("tables", "Doing tables", meanwhile, True)]
    build.run()


def test_how_long_each_stage_took_is_kept(recorder):
    recorder.build().run()
    assert list(json.loads((recorder.folder / "stages.json").read_text())) == ["tables", "visits", "train", "evaluate"]
