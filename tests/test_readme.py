"""The README keeps its word: its Python runs, and its commands do what is said of them."""

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    """Lines that call physgen or a benchmark, with their comments."""
    lines = "\n".join(blocks("bash")).splitlines()
    return [line for line in lines if line.startswith(("physgen ", "python ", "torchrun "))]


def is_short(command: str) -> bool:
    """Long ones say so in their comment."""
    return not re.search(r"# .*(minute|hour)", command)


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.splitlines()[0])
def test_the_python_of_the_readme_runs(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "block.py").write_text(code, encoding="utf-8")
    runpy.run_path("block.py", run_name="__main__")
    assert capsys.readouterr().out.strip(), "a block shows what it did"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are typed, one after the other."""
    return tmp_path_factory.mktemp("desk")


@pytest.mark.parametrize("line", [line for line in commands() if is_short(line)])
def test_a_command_of_the_readme_runs(line: str, desk: Path) -> None:
    words = shlex.split(line, comments=True)
    assert words[0] == "physgen"
    run = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=desk,
        capture_output=True,
        check=False,
        text=True,
        timeout=400,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("line", [line for line in commands() if not is_short(line)])
def test_a_long_command_of_the_readme_knows_its_options(line: str) -> None:
    words = shlex.split(line, comments=True)
    if words[0] == "torchrun":
        words = ["physgen", *words[words.index("physgen") + 1 :]]
    program = ["-m", "physgen"] if words[0] == "physgen" else [str(ROOT / words[1])]
    said = [word for word in words if word.startswith("--")]
    rest = words[1:] if words[0] == "physgen" else words[2:]
    named = [word for word in rest[:2] if not word.startswith("-")] if program[0] == "-m" else []
    run = subprocess.run(
        [sys.executable, *program, *named, "--help"],
        capture_output=True,
        check=False,
        text=True,
        timeout=100,
        cwd=ROOT,
    )
    assert run.returncode == 0, run.stderr
    assert all(option in run.stdout for option in said), said


def test_pictures_and_files_that_the_readme_links_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
