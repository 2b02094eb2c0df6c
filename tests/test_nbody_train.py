"""Training the N-body prior, end to end and small."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from physgen.cli import main
from physgen.design_tasks.nbody_prior import Architecture, load_prior, read_prior, simulated
from physgen.design_tasks.nbody_train import NBodyTraining, train_nbody
from physgen.training import Report, Schedule, silent

SMALL = NBodyTraining(
    schedule=Schedule(steps=6, batch=8, warmup=2, save_every=3),
    network=Architecture(width=16, layers=1, heads=2),
    runs=20,
    instants=30,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_nbody(replace(SMALL, out=tmp_path_factory.mktemp("trained")), silent)


def test_a_run_leaves_weights_their_making_and_their_scores(trained: Path) -> None:
    x = torch.randn(3, 24, 2, 4)
    assert load_prior(trained).denoise(x, 0.5).shape == x.shape
    facts = json.loads(trained.with_suffix(".json").read_text())
    assert facts["recipe"]["runs"] == 20 and facts["recipe"]["slowed"] == 0.5
    assert 0 < facts["scores"]["loss at noise 0.1"] < 2
    assert {"loss.png", "loss.csv", "checkpoint.safetensors"} <= {
        file.name for file in trained.parent.iterdir()
    }


def test_a_finished_run_is_not_made_again(trained: Path) -> None:
    steps: list[int] = []

    def watched(total: int) -> Report:
        return lambda step, loss: steps.append(step)

    before = trained.read_bytes()
    train_nbody(replace(SMALL, out=trained.parent), watched)
    assert not steps
    assert trained.read_bytes() == before


def test_federated_averaging_is_asked_for_on_the_line(tmp_path: Path) -> None:
    """One process has nobody to share with, and trains as it does otherwise; the recipe tells."""
    words = ["--schedule.steps", 2, "--schedule.batch", 4, "--schedule.save-every", 1]
    words += ["--network.width", 16, "--network.layers", 1, "--network.heads", 2]
    words += ["--runs", 10, "--instants", 30, "--out", tmp_path]
    words += ["sharing:weights", "--sharing.every", 2]
    assert main(["train", "nbody", *map(str, words)]) == 0
    facts = json.loads((tmp_path / "nbody.json").read_text())
    assert facts["recipe"]["steps between means of weights"] == 2


def test_training_can_begin_with_given_weights(trained: Path, tmp_path: Path) -> None:
    """At a rate of nothing it ends with them, and tells of their making."""
    still = replace(SMALL.schedule, rate=0.0, other_rate=0.0, average=0.0)
    path = train_nbody(replace(SMALL, schedule=still, initial=trained, out=tmp_path), silent)
    begun, _ = read_prior(trained)
    ended, facts = read_prior(path)
    pairs = zip(begun.parameters(), ended.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    recipe = facts["recipe"]
    assert isinstance(recipe, dict) and recipe["start"]["recipe"]["runs"] == 20


def test_weights_of_another_network_are_no_beginning(trained: Path, tmp_path: Path) -> None:
    wider = replace(SMALL, network=Architecture(width=32, layers=1, heads=2), out=tmp_path)
    with pytest.raises(ValueError, match="choose the same --network"):
        train_nbody(replace(wider, initial=trained), silent)


def test_slowed_discs_keep_their_places_and_directions() -> None:
    """Half the simulations are those of the same seed, each disc slower by its own factor."""
    plain, slowed = (simulated(400, 2, 3, share)[:, 0] for share in (0.0, 0.5))
    torch.testing.assert_close(plain[..., :2], slowed[..., :2])
    ratio = slowed[..., 2:].norm(dim=-1) / plain[..., 2:].norm(dim=-1)
    same = (ratio > 0.999).all(1)
    assert same.double().mean().item() == pytest.approx(0.5, abs=0.08)
    assert ratio[~same].mean().item() == pytest.approx(0.5, abs=0.05)
