"""A data set as files that are written one by one, by one process, several, or many machines."""

import json
import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from physgen.datasets import store
from physgen.files import write_json

Options = TypeVar("Options")


class Shard(NamedTuple):
    """A file of a data set, and how many samples it is to hold."""

    path: Path
    samples: int


def write_shards(
    folder: Path,
    recipe: Mapping[str, object],
    wanted: Mapping[range, Shard],
    write: Callable[[Options, range], object],
    options: Options,
    workers: int,
    scheduler: str,
    report: Callable[[int], None],
) -> list[Path]:
    """Write those that are missing, and a manifest of all; one that lists more stays.

    Arguments:
        folder: Of the manifest.
        recipe: What the shards must have been made by.
        wanted: Shards by their seeds.
        write: Writes one of them, whole or not at all; a function at the top of a module.
        options: What ``write`` is told.
        workers: Processes to write with.
        scheduler: Address of a dask scheduler whose workers write instead; they must see the
            same folder.
        report: Told how many samples are there, after each shard.

    Raises:
        ValueError: a shard was made by another recipe or of other seeds, or is damaged, or dask is
            not installed.
    """
    missing, done = [], 0
    for seeds, shard in wanted.items():
        if shard.path.exists():
            check_recipe(shard.path, recipe, seeds)
            done += shard.samples
        else:
            missing.append(seeds)
    report(done)
    work = Work(write, options)
    for seeds in work.on(scheduler, missing) if scheduler else work.by(workers, missing):
        done += wanted[seeds].samples
        report(done)
    files = [shard.path for shard in wanted.values()]
    names, manifest = [file.name for file in files], folder / "manifest.json"
    if not _begins(manifest, recipe, names):
        write_json(manifest, {"recipe": recipe, "files": names})
    return files


def _begins(manifest: Path, recipe: Mapping[str, object], names: list[str]) -> bool:
    """Whether a manifest lists these files already, and perhaps more of the same behind them."""
    if not manifest.is_file():
        return False
    found = json.loads(manifest.read_text())
    same: bool = found["recipe"] == json.loads(json.dumps(recipe))
    return same and found["files"][: len(names)] == names


def check_recipe(path: Path, recipe: Mapping[str, object], seeds: range) -> None:
    """Raises a ValueError if the file was made otherwise, or of other seeds."""
    with store.opened(path) as file:
        found, held = store.recipe(file), store.seeds(file).tolist()
    if held != list(seeds):
        raise ValueError(
            f"{path} must hold the seeds {seeds.start} to {seeds.stop - 1}, got {held[0]} to "
            f"{held[-1]}: was it renamed? Choose another --out, or remove it"
        )
    if found != recipe:
        differing = [k for k in {**recipe, **found} if found.get(k) != recipe.get(k)]
        raise ValueError(
            f"{path} was made by another recipe ({', '.join(differing)} differ): choose another "
            "--out, or remove it"
        )


class Work(Generic[Options]):
    """What is to be done for each shard, and by whom."""

    def __init__(self, write: Callable[[Options, range], object], options: Options) -> None:
        self.write, self.options = write, options

    def by(self, workers: int, missing: list[range]) -> Iterator[range]:
        """Processes of this machine; yields each shard's seeds when it is written."""
        if workers == 1 or len(missing) < 2:
            for seeds in missing:
                self.write(self.options, seeds)
                yield seeds
            return
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
            running = {pool.submit(self.write, self.options, seeds): seeds for seeds in missing}
            for finished in as_completed(running):
                finished.result()
                yield running[finished]

    def on(self, scheduler: str, missing: list[range]) -> Iterator[range]:
        """Workers of a dask cluster; yields each shard's seeds when it is written."""
        try:
            from dask import distributed
        except ImportError as error:
            raise ValueError(
                "a --scheduler needs dask: pip install 'physgen[scale]', or use --workers"
            ) from error
        with distributed.Client(scheduler) as client:
            running = {
                client.submit(self.write, self.options, seeds, pure=False): seeds
                for seeds in missing
            }
            for finished in distributed.as_completed(list(running)):
                finished.result()
                yield running[finished]


def files_of(folder: Path, command: str) -> list[Path]:
    """The files of a finished data set.

    Raises:
        ValueError: there is none.
    """
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        raise ValueError(
            f"{folder} holds no finished data set: make one with '{command} --out {folder}'"
        )
    return [folder / name for name in json.loads(manifest.read_text())["files"]]
