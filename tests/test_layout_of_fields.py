"""Layouts: named fields go into one flat sample and come out again."""

import pytest
import torch

from physgen.layout import Layout
from physgen.testbeds import some_gaussian, source

LAYOUT = Layout({"flow": (3, 4, 2), "shape": (5,), "speed": ()})


def test_what_is_joined_is_split_again() -> None:
    fields = {
        "flow": torch.randn(6, 3, 4, 2, generator=source()),
        "shape": torch.randn(6, 5, generator=source(1)),
        "speed": torch.randn(6, generator=source(2)),
    }
    joined = LAYOUT.join(**fields)
    assert joined.shape == (6, LAYOUT.size) == (6, 30)
    for name, value in LAYOUT.split(joined).items():
        torch.testing.assert_close(value, fields[name])


def test_a_term_on_a_field_acts_there_and_nowhere_else() -> None:
    law = some_gaussian(0, dimension=5)
    x = torch.randn(6, 30, dtype=torch.float64, generator=source())
    parts = LAYOUT.split(law.on(LAYOUT.places("shape")).shift(x, 0.5))
    torch.testing.assert_close(parts["shape"], law.shift(LAYOUT.split(x)["shape"], 0.5))
    assert not parts["flow"].any() and not parts["speed"].any()


def test_what_does_not_fit_is_refused_by_name() -> None:
    with pytest.raises(
        ValueError, match=r"has fields \['flow', 'shape', 'speed'\], got \['flow'\]"
    ):
        LAYOUT.join(flow=torch.zeros(1, 3, 4, 2))
    with pytest.raises(ValueError, match=r"field shape has shape \(5,\)"):
        LAYOUT.join(flow=torch.zeros(1, 3, 4, 2), shape=torch.zeros(1, 6), speed=torch.zeros(1))
    with pytest.raises(ValueError, match="30 numbers for each sample, got 31"):
        LAYOUT.split(torch.zeros(1, 31))
    with pytest.raises(ValueError, match="not colour"):
        LAYOUT.places("colour")
