"""What needs a score, or a value, says so at the door: run as users run it, without types checked."""

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import json
import torch
from physgen import (
    classifier, compositional, condition, consistent, control, density, distillation, energy, evidence,
    gaussian, grid, guidance, kernel, matching, meter, observed, path, plug_and_play, predictor,
    sampler, sensed, stein, svgd, tuning, twisted,
)
from physgen.denoiser import VelocityPrediction
from physgen.testbeds import isotropic, source

law = isotropic(torch.zeros(1, 2), 1.0)
coupled = matching.Matching(VelocityPrediction, path.Rectified(), matching.Transported())
flow = coupled.of(lambda x, t: 0 * x)
levels = grid.log_snr(4, 0.1, 10.0)
leap = distillation.Leap(flow, levels, 2)
assert not isinstance(leap, energy.Score)
assert not isinstance(distillation.Leap(law, levels, 2), energy.Score)
score = guidance.Guided(law, lambda x: x.sum(1), guidance.Fixed(1.0))  # without a value
cover, x = torch.arange(2)[None], torch.zeros(4, 2)
known = condition.Known(torch.tensor([True, False]), x[0])
label = classifier.Classified(lambda z, s: z, 0)
fixed, cost = guidance.Fixed(1.0), lambda x: x.sum(1)
see = lambda x: x[:, :1]
ddim = predictor.DDIM()
doors = {
    "sum": lambda term: energy.ScoreSum((term, 1.0)),
    "over": lambda term: energy.ScoreOver(term, cover),
    "average": lambda term: energy.Average(term, cover),
    "guidance": lambda term: guidance.Guidance(term, cost, 1.0),
    "guided": lambda term: guidance.Guided(term, cost, fixed),
    "detached": lambda term: guidance.DetachedGuidance(term, cost, fixed),
    "observed": lambda term: observed.Observed(term, see, x[:, :1], 0.1, 1),
    "sensed": lambda term: sensed.Sensed(term, None, None),
    "consistent": lambda term: consistent.Consistent(term, None),
    "conditioned": lambda term: classifier.Conditioned(term, label),
    "conditional": lambda term: classifier.ClassifierFree(term, law, 2.0),
    "unconditional": lambda term: classifier.ClassifierFree(law, term, 2.0),
    "composed": lambda term: compositional.Composed(None, term, x),
    "corrected": lambda term: compositional.Corrected(None, term, x),
    "metered": meter.Metered,
    "implausibility": lambda term: plug_and_play.Implausibility(term, 0.1, 1.0, 4, x[0]),
    "twisted": lambda term: twisted.twisted(term, None, x, levels, source()),
    "evidence": lambda term: evidence.evidence(
        term, evidence.Smallest(), gaussian.White((2,), 1.0), x, levels, source()
    ),
    "known": lambda term: sampler.sample(term, x, levels, ddim, source(), known),
    "repeats": lambda term: sampler.sample(term, x, levels, ddim, source(), repeats=2),
    "ancestral": lambda term: sampler.sample(term, x, levels, predictor.Ancestral(), source()),
    "anneal": lambda term: sampler.anneal(term, x, levels, source(), kernel=kernel.ULA(0.1)),
    "chains": lambda term: sampler.chains(term, kernel.ULA(0.1), x, 1, 1, source()),
    "tune": lambda term: tuning.tune(term, kernel.HMC(0.1), x, 40, source()),
    "svgd": lambda term: svgd.svgd(term, x, 1),
    "stein": lambda term: stein.stein_discrepancy(term, x),
}
valued = {
    "energies": lambda term: energy.Sum((term, 1.0)),
    "mixture": lambda term: energy.Mixture((term, 1.0)),
    "energy over": lambda term: energy.Over(term, cover),
    "metered energy": meter.MeteredEnergy,
    "at": density.At,
    "bridge": lambda term: density.Bridge(law, term, 0.5),
    "bridge from": lambda term: density.Bridge(term, law, 0.5),
}

def said(door, term):
    try:
        door(term)
    except TypeError as error:
        return str(error)
    return "let in"

print(json.dumps({
    "flow": {name: said(door, flow) for name, door in {**doors, **valued}.items()},
    "leap": {name: said(door, leap) for name, door in {**doors, **valued}.items()},
    "score": {name: said(door, score) for name, door in valued.items()},
    "control": {"flow": said(lambda term: control.controlled(term, 2, 1), flow)},
    "carried": {
        "leap": said(lambda term: sampler.sample(term, x, leap.grid, ddim, source()), leap),
        "flow": said(lambda term: sampler.sample(term, x, levels, ddim, source()), flow),
    },
}))
"""


@pytest.fixture(scope="module")
def said() -> dict[str, dict[str, str]]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("term", ["CoupledFlow", "Leap"])
def test_what_has_no_score_is_refused_at_every_door(
    term: str, said: dict[str, dict[str, str]]
) -> None:
    told = said["flow" if term == "CoupledFlow" else "leap"]
    wrong = {name: line for name, line in told.items() if f"a {term} has no score" not in line}
    assert not wrong
    assert len(told) > 30


def test_what_has_no_value_is_refused_where_one_is_asked_for(
    said: dict[str, dict[str, str]],
) -> None:
    told = said["score"]
    wrong = {name: line for name, line in told.items() if "has a score and no value" not in line}
    assert not wrong


def test_a_control_is_beside_a_network(said: dict[str, dict[str, str]]) -> None:
    assert "beside a Preconditioned network, got a CoupledFlow" in said["control"]["flow"]


def test_a_leap_of_a_flow_is_carried_like_the_flow(said: dict[str, dict[str, str]]) -> None:
    assert said["carried"] == {"leap": "let in", "flow": "let in"}
