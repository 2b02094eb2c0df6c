"""The training loop: killed and resumed, or shared by processes, it follows one curve."""

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from physgen.checkpoint import load_tensors
from physgen.network import TrajectoryTransformer
from physgen.preconditioned import Denoising, Preconditioned
from physgen.training import Schedule, Trainer, step_generator

LOSS = Denoising()


def model() -> Preconditioned:
    torch.manual_seed(0)
    return Preconditioned(TrajectoryTransformer(features=4, frames=4, width=16, layers=1, heads=2))


def draw(step: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    x = torch.randn(8, 4, 1, 4, generator=generator)
    return LOSS.draw(x[:, :1].expand(8, 4, 1, 4) + 0.1 * x, generator)


def trainer(folder: Path, steps: int = 12, **options: object) -> Trainer:
    schedule = Schedule(steps=steps, batch=8, warmup=3, save_every=5)
    recipe: dict[str, object] = {"data": "a ramp", **options}
    return Trainer(model(), LOSS, draw, schedule, folder, recipe, bfloat16=False)


class Killed(Exception):
    pass


def kill_at(last: int, step: int, loss: float) -> None:
    if step == last:
        raise Killed


def test_a_killed_and_resumed_run_follows_the_same_curve(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole")
    whole.run()
    with pytest.raises(Killed):
        trainer(tmp_path / "killed").run(lambda step, loss: kill_at(8, step, loss))
    resumed = trainer(tmp_path / "killed")
    resumed.run()
    assert [loss for _, loss, _ in resumed.losses[5:]] == [loss for _, loss, _ in whole.losses[5:]]
    ours, _ = load_tensors(resumed.checkpoint_file)
    theirs, _ = load_tensors(whole.checkpoint_file)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_checkpoint_that_is_truncated_says_what_to_do(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    run.run()
    run.checkpoint_file.write_bytes(run.checkpoint_file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors .*: remove it to begin anew"):
        trainer(tmp_path).run()


def test_the_log_has_each_step_once_after_a_resume(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        trainer(tmp_path).run(lambda step, loss: kill_at(8, step, loss))
    trainer(tmp_path).run()
    with (tmp_path / "loss.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(12))


def test_two_processes_reach_what_one_reaches(tmp_path: Path) -> None:
    trainer(tmp_path / "one").run()
    script = tmp_path / "two.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from pathlib import Path\n"
        "import torch\n"
        "torch.set_num_threads(1)\n"
        "from test_training import trainer\n"
        "from physgen.training import processes\n"
        "with processes():\n"
        f"    trainer(Path({str(tmp_path / 'two')!r})).run()\n"
    )
    # As torchrun starts them, without the process that it needs for itself.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"OMP_NUM_THREADS": "1", "PYTHONPATH": ".", "WORLD_SIZE": "2"}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    both = [
        subprocess.Popen(
            [sys.executable, str(script)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
            env={**os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank},
        )
        for rank in ("0", "1")
    ]
    said = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    curves = []
    for run in ("one", "two"):
        with (tmp_path / run / "loss.csv").open(newline="") as file:
            curves.append([float(row["loss"]) for row in csv.DictReader(file)])
    assert curves[0] == pytest.approx(curves[1], rel=2e-3)


@pytest.mark.slow
def test_federated_weights_are_the_mean_of_what_each_process_found_by_itself(
    tmp_path: Path,
) -> None:
    """Two processes, each on its half of every batch, meet after six steps."""
    script = tmp_path / "two.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from pathlib import Path\n"
        "import torch\n"
        "from safetensors.torch import save_file\n"
        "torch.set_num_threads(1)\n"
        "from test_training import LOSS, draw, model\n"
        "from physgen.sharing import Weights\n"
        "from physgen.training import Schedule, Trainer, processes\n"
        "with processes():\n"
        "    schedule = Schedule(steps=6, batch=8, warmup=3)\n"
        f"    folder = Path({str(tmp_path / 'two')!r})\n"
        "    t = Trainer(model(), LOSS, draw, schedule, folder, {}, False, Weights(6))\n"
        "    t.run()\n"
        f"    save_file(t.model.state_dict(), {str(tmp_path)!r} + f'/end{{t.rank}}.safetensors')\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*command, "--nproc_per_node", "2", str(script)],
        capture_output=True,
        check=False,
        text=True,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": "."},
    )
    assert done.returncode == 0, done.stderr
    alone = []
    for rank in (0, 1):

        def half(step: int, g: torch.Generator, rank: int = rank) -> tuple[Tensor, ...]:
            return tuple(part[rank::2] for part in draw(step, g))

        schedule = Schedule(steps=6, batch=4, warmup=3)
        client = Trainer(model(), LOSS, half, schedule, tmp_path / str(rank), {}, False)
        client.run()
        alone.append(client.model.state_dict())
    ends = [load_file(tmp_path / f"end{rank}.safetensors") for rank in (0, 1)]
    apart = 0.0
    for name in alone[0]:
        assert torch.equal(ends[0][name], ends[1][name])
        mean = (alone[0][name] + alone[1][name]) / 2
        torch.testing.assert_close(ends[0][name], mean, rtol=0, atol=1e-6)
        apart = max(apart, (alone[0][name] - alone[1][name]).abs().max().item())
    assert apart > 1e-3


class Counting(nn.Module):
    """A number to be learned, and a buffer that counts how often it was asked for."""

    asked: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.register_buffer("asked", torch.zeros(1, dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        self.asked += 1
        return self.weight * x


def test_the_average_has_the_model_s_buffers(tmp_path: Path) -> None:
    t = Trainer(
        Counting(),
        lambda model, x: model(x).square(),
        lambda step, g: (torch.ones(2),),
        Schedule(steps=3, batch=2),
        tmp_path,
        {},
        False,
    )
    assert list(t.run().buffers()) == [torch.tensor([3])]


def test_training_lowers_the_loss_of_the_average(tmp_path: Path) -> None:
    t = trainer(tmp_path, steps=300)
    batch = draw(-1, step_generator(1, 0, torch.device("cpu")))
    before = LOSS(t.average, *batch).mean().item()
    after = LOSS(t.run(), *batch).mean().item()
    assert after < 0.85 * before


def test_a_run_with_another_recipe_is_refused(tmp_path: Path) -> None:
    trainer(tmp_path).run()
    with pytest.raises(ValueError, match="another recipe"):
        trainer(tmp_path, data="a sine").run()


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    t = trainer(tmp_path)
    nn.init.constant_(next(t.model.parameters()), float("nan"))
    with pytest.raises(FloatingPointError, match="at step 0"):
        t.run()


def test_the_rate_rises_stays_and_falls() -> None:
    schedule = Schedule(steps=100, warmup=10, decay=0.4)
    rates = [schedule.factor(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[59] == 1
    assert rates[80] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(1 / 40)


def test_the_untrained_loss_is_one_at_every_level() -> None:
    torch.manual_seed(0)
    x = torch.randn(4000, 4, 1, 4)
    noise = torch.randn_like(x)
    for level in (0.05, 1.0, 20.0):
        loss = LOSS(model(), x, torch.full((4000,), level), noise).mean().item()
        assert loss == pytest.approx(1, rel=0.05)


def test_facts_are_kept_with_the_weights(tmp_path: Path) -> None:
    trainer(tmp_path).run()
    _, facts = load_tensors(tmp_path / "checkpoint.safetensors")
    assert facts["step"] == 12
    assert json.dumps(facts["recipe"]) == json.dumps({"data": "a ramp"})
