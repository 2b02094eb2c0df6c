"""Training the prior of an airfoil, end to end and small."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from physgen.datasets import airfoil
from physgen.datasets.airfoil import AirfoilData, generate
from physgen.design_tasks.airfoil_prior import (
    Architecture,
    Scales,
    load_prior,
    load_windows,
    save_prior,
)
from physgen.design_tasks.airfoil_train import AirfoilTraining, train_airfoil
from physgen.training import Report, Schedule

SMALL = AirfoilTraining(
    simulations=8,
    held_out=0.25,
    workers=1,
    schedule=Schedule(steps=4, batch=4, warmup=2, save_every=2),
    network=Architecture(widths=(8, 16), condition=8),
)


def silent(steps: int) -> Report:
    return lambda step, loss: None


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("airfoil")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SPIN", "SETTLE", "MEAN"):
            patch.setattr(airfoil, name, 0.2)
        generate(AirfoilData(8, shard=8, compile=False, out=folder / "data"))
        options = replace(SMALL, data=folder / "data", out=folder / "run")
        patch.setattr("physgen.design_tasks.airfoil_train.generate", lambda made: [])
        return train_airfoil(options, silent)


def test_a_run_leaves_weights_their_making_and_their_scores(trained: Path) -> None:
    prior = load_prior(trained)
    body, calm = torch.randn(3, 72, 48), torch.zeros(3, 3, 72, 48)
    found = prior.estimate(body, torch.full((3,), 0.5), calm, torch.full((3,), 500.0))
    assert found.flow.shape == calm.shape and found.force.isfinite().all()
    assert prior.account.rows == 3
    facts = json.loads(trained.with_suffix(".json").read_text())
    assert facts["recipe"]["samples"] == 6
    assert 0 < facts["scores"]["flow at noise 0.0"] < 3
    assert {"loss.png", "loss.csv", "checkpoint.safetensors"} <= {
        file.name for file in trained.parent.iterdir()
    }


def test_what_a_network_tells_is_kept_with_its_weights(tmp_path: Path) -> None:
    scales = Scales((0.0, 1.0), (1.0,) * 3, (1.0,) * 3, (0.0, 0.0, 1.0, 1.0))
    body, calm = torch.randn(2, 72, 48), torch.zeros(2, 3, 72, 48)
    levels, reynolds = torch.full((2,), 3.0), torch.full((2,), 500.0)
    for velocity, skipped in ((True, 1 / 4), (False, 1 / 10)):
        model = SMALL.network.build(scales, velocity)
        for weight in model.parameters():
            torch.nn.init.zeros_(weight)
        save_prior(tmp_path / "some.safetensors", model, {})
        found = load_prior(tmp_path / "some.safetensors").estimate(body, levels, calm, reynolds)
        torch.testing.assert_close(found.body, skipped * body)


def test_flows_on_another_grid_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SPIN", "SETTLE", "MEAN"):
        monkeypatch.setattr(airfoil, name, 0.5)
    generate(AirfoilData(4, shard=4, cells=12, compile=False, out=tmp_path))
    with pytest.raises(ValueError, match=r"windows of \(36, 24\) cells, .* 24 cells a chord"):
        load_windows(tmp_path)


def test_what_is_no_prior_of_airfoils_is_refused() -> None:
    from physgen.design_tasks.nbody_prior import WEIGHTS

    with pytest.raises(ValueError, match="holds no prior of airfoils: it says 'nbody'"):
        load_prior(WEIGHTS)
