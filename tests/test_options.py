"""Options as words: a command that a report tells asks for the same again."""

import json
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from physgen.cli import parse
from physgen.design_tasks.airfoil_price import Prices as AirfoilPrices
from physgen.design_tasks.airfoil_run import AirfoilsOptions
from physgen.design_tasks.burgers_distill import BurgersDistilling
from physgen.design_tasks.burgers_run import BurgersOptions
from physgen.design_tasks.burgers_tracking_run import TrackingOptions
from physgen.design_tasks.inverse_design import Guidance
from physgen.design_tasks.inverse_distill import InverseDistilling
from physgen.design_tasks.inverse_run import InverseOptions
from physgen.design_tasks.inverse_train import InverseTraining
from physgen.design_tasks.nbody_costs import Prices
from physgen.design_tasks.nbody_design import Descent
from physgen.design_tasks.nbody_distill import NBodyDistilling
from physgen.design_tasks.nbody_run import NBodyOptions
from physgen.design_tasks.nbody_train import NBodyTraining
from physgen.design_tasks.simulate_design import Walk
from physgen.design_tasks.simulate_distill import SimulateDistilling
from physgen.design_tasks.simulate_run import SimulateOptions
from physgen.options import check_default, command, plain
from physgen.rounds import ROUND
from physgen.sharing import Weights
from physgen.training import Schedule

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

A_FEW = replace(ROUND, steps=20, save_every=5)

ASKED: "dict[str, DataclassInstance]" = {
    "design nbody": NBodyOptions(
        bodies=3, prices=Prices(speed=0.25), descent=Descent(steps=7, share=0.5)
    ),
    "design airfoils": AirfoilsOptions(lift=0.25, prices=AirfoilPrices(share=0.125), finer=0),
    "design burgers-control": BurgersOptions(setting="po-fc", weights=Path("a b/c")),
    "design burgers-tracking": TrackingOptions(skip=3, baselines=False, noise=1e-3),
    "design inverse": InverseOptions(problem="both", guidance=Guidance(residual=0.0, sweeps=2)),
    "design simulate": SimulateOptions(time=7.0, walk=Walk(levels=3), weights=Path("c"), skip=1),
    "distill nbody": NBodyDistilling(into=2, strides=(2, 3), schedule=A_FEW),
    "distill burgers-control": BurgersDistilling(method="consistency", strides=(5,)),
    "distill inverse": InverseDistilling(simulations=3, schedule=A_FEW),
    "distill simulate": SimulateDistilling(
        strides=(2, 2, 2), schedule=Schedule(), weights=Path("d")
    ),
    "train inverse": InverseTraining(kept=(3, 4), equation="poisson"),
    "train nbody": NBodyTraining(runs=7, sharing=Weights(every=3), schedule=Schedule(30)),
}


@pytest.mark.parametrize("name", list(ASKED))
def test_the_words_of_options_are_read_as_the_same_options(name: str) -> None:
    options = ASKED[name]
    said = command(name, replace(options, out=Path("elsewhere")))
    start = ["physgen", *name.split()]
    assert shlex.split(said)[: len(start)] == start
    assert parse(type(options), name, shlex.split(said)[len(start) :]) == options


def test_the_command_of_a_report_says_all_that_is_not_the_default() -> None:
    assert (
        command("design burgers-tracking", TrackingOptions()) == "physgen design burgers-tracking"
    )
    some = TrackingOptions(skip=3, gradients=5, weights=Path("a b"), baselines=False)
    said = "--skip 3 --no-baselines --gradients 5 --weights 'a b'"
    assert command("design burgers-tracking", some) == f"physgen design burgers-tracking {said}"


@dataclass(frozen=True)
class Inner:
    loud: bool = True
    size: int = 1


@dataclass(frozen=True)
class Outer:
    path: Path
    many: tuple[int, ...] = (1,)
    inner: Inner = Inner()


def test_what_has_no_default_is_always_said_and_flags_within_are_denied() -> None:
    assert command("do", Outer(Path("p"))) == "physgen do --path p"
    odd = Outer(Path("p"), (2, 3), Inner(loud=False))
    assert command("do", odd) == "physgen do --path p --many 2 3 --inner.no-loud"


def test_what_had_no_say_is_not_kept() -> None:
    kept = plain(Outer(Path("p")), ["many", "inner.size"])
    assert json.loads(json.dumps(kept)) == {"path": "p", "inner": {"loud": True}}


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        (Outer(Path("p"), (2,)), r"--many, got \(2,\)"),
        (Outer(Path("p"), inner=Inner(size=4)), "--inner.size, got 4"),
    ],
)
def test_an_option_that_would_have_no_say_is_refused(options: Outer, flag: str) -> None:
    check_default(options, ["many"] if options.inner.size == 4 else ["inner.size"], "fixed")
    with pytest.raises(ValueError, match=f"fixed: leave out {flag}"):
        check_default(options, ["many", "inner.size"], "fixed")
