"""Weights files: what is saved is loaded, and nothing else is."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from physgen.checkpoint import fingerprint, load_tensors, save_tensors


def test_saving_and_loading_changes_nothing(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 4), "b": torch.arange(5), "c": torch.tensor(1.5)}
    save_tensors(tmp_path / "w.safetensors", tensors, {"step": 3, "names": ["x"]})
    loaded, facts = load_tensors(tmp_path / "w.safetensors")
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)
    assert facts == {"step": 3, "names": ["x"]}


def test_a_fingerprint_survives_saving_and_changes_with_the_last_bit(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 4).bfloat16(), "b": torch.arange(5), "c": torch.tensor(1.5)}
    mark = fingerprint(tensors)
    save_tensors(tmp_path / "w.safetensors", tensors, {})
    assert fingerprint(load_tensors(tmp_path / "w.safetensors")[0]) == mark
    others = [
        {**tensors, "c": torch.nextafter(tensors["c"], torch.tensor(2.0))},
        {**tensors, "a": tensors["a"].T},
        {**tensors, "b": tensors["b"].int()},
        {"d": tensors["a"], "b": tensors["b"], "c": tensors["c"]},
    ]
    assert len({mark, *map(fingerprint, others)}) == 5


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no weights file .*gone"):
        load_tensors(tmp_path / "gone.safetensors")


def test_a_truncated_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "short.safetensors"
    save_tensors(path, {"a": torch.randn(100)}, {})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"short\.safetensors is not a readable .* truncated"):
        load_tensors(path)


def test_a_foreign_file_is_refused_by_name(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ValueError, match=r"foreign\.safetensors .* not one that physgen wrote"):
        load_tensors(tmp_path / "foreign.safetensors")


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_tensors(path, {"a": torch.ones(2)}, {})
    with pytest.raises(TypeError):
        save_tensors(path, {"a": torch.zeros(2)}, {"no json": object()})
    assert torch.equal(load_tensors(path)[0]["a"], torch.ones(2))
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]
