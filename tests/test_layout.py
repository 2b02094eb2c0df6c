"""The three folders beside the core are its sub-packages, and imports run one way."""

import ast
from pathlib import Path

import pytest

import physgen

CORE = Path(physgen.__file__).parent
ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "physgen": set[str](),
    "solvers": {"physgen"},
    "datasets": {"physgen", "solvers"},
    "design_tasks": {"physgen", "solvers", "datasets"},
}
DOOR = "cli.py"


def imported_folders(path: Path) -> set[str]:
    """The folders that a file imports from, by the names of its import statements."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
            names.extend(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
    parts = [name.split(".") for name in names if name.split(".")[0] == "physgen"]
    return {p[1] if len(p) > 1 and p[1] in MAY_IMPORT else "physgen" for p in parts}


@pytest.mark.parametrize("folder", ["solvers", "datasets", "design_tasks"])
def test_the_folder_is_part_of_the_package(folder: str) -> None:
    inside = CORE / folder
    assert inside.is_dir() and any(inside.glob("*.py")), (
        f"physgen/{folder} is not the folder {folder} beside it: the symbolic link was lost on "
        "the way here. On Windows, clone with 'git -c core.symlinks=true', or install the wheel."
    )
    assert not (inside / "__init__.py").exists()


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_imports_run_one_way(folder: str) -> None:
    files = [path for path in (ROOT / folder).glob("*.py") if path.name != DOOR]
    assert files
    for path in files:
        if path.name == "__main__.py":
            continue
        beyond = imported_folders(path) - MAY_IMPORT[folder] - {folder}
        assert not beyond, f"{path.name} in {folder} imports from {beyond}"


def test_nothing_that_runs_code_from_files_is_used() -> None:
    for path in ROOT.rglob("*.py"):
        if path == Path(__file__) or ".venv" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            assert not (isinstance(called, ast.Name) and called.id in {"eval", "exec"}), path
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", "")}
                assert not names & {"pickle", "dill", "torchvision"}, path
