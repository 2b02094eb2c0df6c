"""Other libraries, each in a virtual environment of its own, on one core."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

ENVS = Path.home() / ".cache" / "physgen" / "peers"
"""Where the environments are made, and found again."""
JAX = ("jax==0.10.2", "jaxlib==0.10.2", "numpy==2.4.6", "scipy==1.17.1")


@dataclass(frozen=True)
class Contender:
    """A library that is timed."""

    name: str
    module: str
    """Of ``peers``, which does the work with it."""
    packages: tuple[str, ...]
    """Its environment; empty for the one that runs this."""
    body: str = ""
    """What it makes of a circle in a flow."""


def python_of(contender: Contender, envs: Path) -> str:
    """The interpreter that has its packages, installed if they are not there yet."""
    if not contender.packages:
        return sys.executable
    folder = envs / contender.name.replace(" ", "-").lower()
    python, complete = folder / "bin" / "python", folder / "packages.txt"
    wanted = "\n".join(contender.packages)
    if not complete.exists() or complete.read_text() != wanted:
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-qq", *contender.packages], check=True)
        complete.write_text(wanted)
    return str(python)


def run(
    contender: Contender,
    envs: Path,
    core: int,
    arguments: tuple[str, ...],
    limit: int = resource.RLIM_INFINITY,
) -> str:
    """The last line of what its module says, on one core and with one thread.

    Raises:
        RuntimeError: it failed, or took more than a limit in seconds of the processor.
    """
    pin = shutil.which("taskset")
    command = (
        *((pin, "-c", str(core)) if pin else ()),
        *(python_of(contender, envs), "-m", f"peers.{contender.module}", *arguments),
    )
    alone = {
        "JAX_PLATFORMS": "cpu",
        "OMP_NUM_THREADS": "1",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    }
    ended = subprocess.run(
        command,
        check=False,
        cwd=Path(__file__).parent.parent,
        env=os.environ | alone,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (limit, limit)),
    )
    if ended.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise RuntimeError(f"stopped: not done within {limit} s of the processor")
    if ended.returncode:
        raise RuntimeError(ended.stderr.strip().rpartition("\n")[2])
    return ended.stdout.strip().rpartition("\n")[2]
