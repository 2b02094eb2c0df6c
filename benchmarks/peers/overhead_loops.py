# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
"""Microseconds a step of other libraries' loops, with a network that gives back what it gets.

Each is used as its own examples do: torchcfm hands its velocity to torchdiffeq's Euler, azula's
samplers are called, diffusers' schedulers are stepped.
"""

import argparse
import json
import time
from collections.abc import Callable

import torch
from azula.denoise import Denoiser, DiracPosterior
from azula.noise import VPSchedule
from azula.sample import DDIMSampler, DDPMSampler
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from torch import Tensor
from torchdiffeq import odeint


class Trivial(Denoiser):
    def __init__(self) -> None:
        super().__init__()
        self.schedule = VPSchedule()

    def forward(self, x_t: Tensor, t: Tensor, **_: object) -> DiracPosterior:
        return DiracPosterior(mean=x_t)


def stepped(kind: type, steps: int, start: Tensor) -> Callable[[], Tensor]:
    scheduler = kind()

    def run() -> Tensor:
        scheduler.set_timesteps(steps)
        x = start
        for t in scheduler.timesteps:
            x = scheduler.step(x, t, x).prev_sample
        return x

    return run


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("steps", type=int)
    parser.add_argument("repeats", type=int)
    options = parser.parse_args()
    torch.set_num_threads(1)
    start, times = torch.randn(4, 8), torch.linspace(0, 1, options.steps + 1)
    loops = {
        "torchcfm, Euler": lambda: odeint(lambda t, x: x, start, times, method="euler"),
        "azula, DDIM": lambda: DDIMSampler(Trivial(), steps=options.steps, silent=True)(start),
        "azula, DDPM": lambda: DDPMSampler(Trivial(), steps=options.steps, silent=True)(start),
        "diffusers, DDIM": stepped(DDIMScheduler, options.steps, start),
        "diffusers, DPM++ 2M": stepped(DPMSolverMultistepScheduler, options.steps, start),
    }
    found = {}
    with torch.no_grad():
        for name, run in loops.items():
            spent = []
            for _ in range(options.repeats):
                began = time.process_time()
                run()
                spent.append(time.process_time() - began)
            found[name] = 1e6 * min(spent) / options.steps
    print(json.dumps(found))


if __name__ == "__main__":
    main()
