"""The command line: what it refuses, how it says so, and that it leaves nothing half-written."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from physgen.checkpoint import load_tensors, save_tensors
from physgen.cli import COMMANDS, main
from physgen.datasets.nbody import NBodyData, generate
from physgen.design_tasks import nbody_view
from physgen.design_tasks.nbody_prior import WEIGHTS


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one line on standard error of a command that is refused as bad input."""
    assert main([str(word) for word in words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1 and err.startswith("physgen: ")
    return err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("design", "nbdy"), "did you mean 'physgen design nbody'"),
        (("desing", "nbody"), "did you mean 'physgen design'"),
        (
            ("design",),
            "physgen design what? there is: airfoils, burgers-control, burgers-tracking, inverse, nbody",
        ),
        (
            ("design", "weather"),
            "knows no 'weather': there is: airfoils, burgers-control, burgers-tracking, inverse, nbody",
        ),
        (("design", "nbody", "--bodies", "1"), "bodies must be 2 to 8, got 1"),
        (("design", "nbody", "--frames", "7"), "frames must be 24, or 10 more"),
        (("design", "nbody", "--designs", "0"), "designs must be at least 1, got 0"),
        (("design", "nbody", "--descent.candidates", "0"), "candidates must be at least 1"),
        (("design", "nbody", "--variant", "still"), "variant must be one of"),
        (("design", "nbody", "--method", "magic"), "method must be one of"),
        (("design", "nbody", "--bodis", "3"), "did you mean --bodies?"),
        (
            ("design", "nbody", "--bodies", "many"),
            "Error parsing --bodies: a whole number is needed, got 'many'",
        ),
        (("distill", "burgers-tracking"), "one evaluation an interval as it is, and more do harm"),
        (("generate", "nbody", "--steps", "7"), "steps must be a multiple of stride, got 7 and 4"),
        (("tasks", "foo"), "Unrecognized options: foo: see physgen tasks --help"),
        (("design", "nbody", "--designs", "2.5"), "a whole number is needed, got '2.5'"),
        (("design", "nbody", "--prices.speed", "x"), "a number is needed, got 'x'"),
        (("design", "nbody", "--seed", "9" * 20), "--seed must be from 0 to"),
        (("train", "nbody", "--schedule.seed", "-1"), "--schedule.seed must be from 0 to"),
        (
            ("design", "burgers-control", "--gamma", "nan"),
            "--gamma must be a finite number, got nan",
        ),
        (("design", "simulate", "--time", "1e6"), "from two to 100000 s, got 1e+06"),
        (("design", "nbody", "--prices.objective", "-3000"), "objective must be at least 0"),
        (("design", "airfoils", "--prices.share", "2"), "share must be between 0 and 1, got 2"),
        (("design", "airfoils", "--law.spread", "-1"), "spread must be at least 0, got -1"),
        (("design", "inverse", "--look", "coarse", "--sensors", "50"), "leave out --sensors"),
        (
            ("design", "inverse", "--blocks", "4"),
            "a look that is spread does not heed it: leave out --blocks, got 4",
        ),
        (("design", "inverse", "--look", "whole", "--hole", "0.25"), "leave out --hole"),
        (("train", "nbody", "--runs", "0"), "runs must be at least 1, got 0"),
        (("train", "nbody", "--instants", "20"), "instants must be at least 24, got 20"),
        (("train", "nbody", "--slowed", "2"), "slowed must be between 0 and 1, got 2.0"),
        (("train", "nbody", "--schedule.rate", "-1"), "rate must be at least 0, got -1.0"),
        (("train", "nbody", "--schedule.warmup", "-1"), "warmup must be at least 0, got -1"),
        (("train", "nbody", "--schedule.average", "1.5"), "average must be between 0 and 1"),
        (("distill", "nbody", "--slowed", "-1"), "slowed must be between 0 and 1, got -1.0"),
        (("train", "burgers-tracking", "--runs", "0"), "runs must be at least 1, got 0"),
        (("generate", "nbody", "--steps", "0"), "steps must be a multiple of stride, got 0 and 4"),
        (
            ("design", "inverse", "--guidance.levels", "0"),
            "physgen: levels must be at least 1, got",
        ),
        (("inspect", "nowhere"), "there is no file or folder nowhere"),
    ],
)
def test_bad_input_is_one_line(
    words: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in refused(capsys, *words)
    assert not list(tmp_path.iterdir()), "nothing is written"


@pytest.mark.parametrize("damage", ["missing", "truncated", "foreign", "another prior"])
def test_weights_that_are_none_are_refused_by_name(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "w.safetensors", tmp_path / "out"
    if damage == "truncated":
        path.write_bytes(WEIGHTS.read_bytes()[:-1000])
    elif damage == "foreign":
        save_file({"a": torch.zeros(2)}, path)
    elif damage == "another prior":
        save_tensors(path, {"a": torch.zeros(2)}, {"prior": "weather"})
    assert "w.safetensors" in refused(capsys, "design", "nbody", "--weights", path, "--out", out)
    assert not out.exists()


@pytest.mark.parametrize("damage", ["truncated", "foreign"])
def test_data_that_are_none_are_refused_by_name(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    (file,) = generate(NBodyData(simulations=5, steps=8, out=data))
    file.write_bytes(file.read_bytes()[:-500] if damage == "truncated" else b"not HDF5 at all")
    assert file.name in refused(capsys, "inspect", file)
    words = ("train", "nbody", "--data", data, "--out", tmp_path / "train")
    assert file.name in refused(capsys, *words)


def test_a_folder_that_cannot_be_written_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    said = refused(capsys, "design", "nbody", "--out", tmp_path / "file" / "out")
    assert "cannot be written" in said and "choose another with --out" in said


def test_weights_that_are_not_finite_fail_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors, facts = load_tensors(WEIGHTS)
    name = next(iter(tensors))
    tensors[name] = torch.full_like(tensors[name], float("nan"))
    save_tensors(tmp_path / "w.safetensors", tensors, facts)
    words = ["design", "nbody", "--bodies", "2", "--designs", "2", "--descent.steps", "3"]
    places = ["--weights", str(tmp_path / "w.safetensors"), "--out", str(tmp_path / "out")]
    assert main([*words, *places]) == 1
    assert "not finite" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("words", [command.words for command in COMMANDS], ids=" ".join)
def test_every_command_tells_its_options(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main([*words, "--help"])
    assert left.value.code == 0
    said = capsys.readouterr().out
    assert f"physgen {' '.join(words)}" in said
    assert ("--json " in said) == (words[0] in READ_BY_MACHINES)


def test_help_shows_the_names_to_choose_from(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["design", "nbody", "--help"])
    said = capsys.readouterr().out
    assert "--variant {classic,moving}" in said and "--method {factor,mean,sum,cindm}" in said


READ_BY_MACHINES = ("tasks", "design", "simulate", "verify", "inspect")
"""First words of commands whose answer is JSON if asked for."""


@pytest.mark.parametrize("first", sorted({one.words[0] for one in COMMANDS if one.words[1:]}))
@pytest.mark.parametrize("asked", ["--help", "-h"])
def test_a_first_word_tells_its_commands(
    first: str, asked: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([first, asked]) == 0
    said = capsys.readouterr()
    told = [line.split()[1:3] for line in said.out.splitlines() if line.startswith("  physgen ")]
    assert told == [list(one.words) for one in COMMANDS if one.words[0] == first]
    assert not said.err


def test_tasks_are_those_of_design(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {one.words[1]: one.about for one in COMMANDS if one.words[0] == "design"}
    assert main(["tasks"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(maxsplit=1) for line in lines] == [list(one) for one in told.items()]


@pytest.mark.parametrize(
    ("words", "then"),
    [("design nbody", "begins anew"), ("train nbody", "takes up"), ("simulate darcy", "begins")],
)
def test_an_interrupted_command_says_whether_it_goes_on(
    words: str, then: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("physgen.cli._read", stop)
    assert main(words.split()) == 130
    assert f"interrupted: the same command {then}" in capsys.readouterr().err


def test_the_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    said = capsys.readouterr().out
    assert all(f"physgen {command.name}" in said for command in COMMANDS)


@pytest.fixture
def no_film(monkeypatch: pytest.MonkeyPatch) -> None:
    """Designs without their animation, which takes longer than all else and has its own test."""
    monkeypatch.setattr(nbody_view, "animate", lambda path, *_: path.write_bytes(b"film"))


@pytest.mark.usefixtures("no_film")
def test_json_on_standard_output_is_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["design", "nbody", "--bodies", "2", "--designs", "3", "--descent.steps", "6"]
    assert main([*words, "--baselines", "0", "--out", str(tmp_path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    kept = json.loads((tmp_path / "verdict.json").read_text())
    del kept["format"]
    assert said == kept
    assert all((tmp_path / name).is_file() for name in said["files"])


@pytest.mark.usefixtures("no_film")
def test_the_same_seed_gives_the_same_designs(tmp_path: Path) -> None:
    words = ["design", "nbody", "--bodies", "2", "--designs", "2", "--descent.steps", "4"]
    rows = []
    for run, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        out = tmp_path / run
        assert main([*words, "--baselines", "0", "--seed", seed, "--out", str(out)]) == 0
        rows.append((out / "designs.csv").read_text())
    assert rows[0] == rows[1] != rows[2]
