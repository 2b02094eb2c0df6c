"""The README keeps its word: its Python runs, and its commands do what is said of them."""

import re
import runpy
import shlex
import subprocess
import sys
from functools import partial
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
def test_a_long_command_of_the_readme_knows_its_options(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(line, comments=True)
    if words[0] == "torchrun":
        words = words[words.index("physgen") :]
    said = [word for word in words if word.startswith("--")]
    if words[0] == "physgen":
        named = [word for word in words[1:3] if not word.startswith("-")]
        monkeypatch.setattr(sys, "argv", ["physgen", *named, "--help"])
        run = partial(runpy.run_module, "physgen", run_name="__main__")
    else:
        script = ROOT / words[1]
        monkeypatch.syspath_prepend(str(script.parent))
        monkeypatch.setattr(sys, "argv", [str(script), "--help"])
        run = partial(runpy.run_path, str(script), run_name="__main__")
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(option in shown for option in said), said


def test_pictures_and_files_that_the_readme_links_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
