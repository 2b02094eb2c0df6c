"""A data set as files that are written one by one, by one process, several, or many machines."""

import json
import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import h5py

from physgen.datasets import store
from physgen.datasets.seeds import refuse_mixed
from physgen.files import write_json

MANIFEST = "manifest.json"

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
    """Write those that are missing, and a manifest of these and all others of the folder.

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
        ValueError: a shard was made by another recipe or of other seeds, or is damaged; the folder
            holds data of another recipe, or some of these seeds in other files; or dask is not
            installed.
    """
    _listed(folder, recipe, wanted)  # refused before anything is written
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
    listed = _listed(folder, recipe, wanted)
    write_json(folder / MANIFEST, {"recipe": recipe, "files": listed})
    return [shard.path for shard in wanted.values()]


def _listed(
    folder: Path, recipe: Mapping[str, object], wanted: Mapping[range, Shard]
) -> list[str]:
    """The files of a folder by their seeds: the wanted ones, and those of its manifest.

    A file all of whose seeds are in a wanted one gives way to it.

    Raises:
        ValueError: the manifest is of another recipe, or one of its files holds some of the wanted
            seeds, and others.
    """
    files = {seeds: shard.path.name for seeds, shard in wanted.items()}
    if (folder / MANIFEST).is_file():
        manifest = read_manifest(folder)
        _refuse_other(folder, manifest.recipe, json.loads(json.dumps(recipe)))
        for name in manifest.files:
            if name in files.values():
                continue
            seeds = _seeds(folder / name)
            met = [new for new in wanted if new.start < seeds.stop and seeds.start < new.stop]
            if all(new.start <= seeds.start and seeds.stop <= new.stop for new in met):
                if not met:
                    files[seeds] = name
                continue
            raise ValueError(
                f"{folder / name} holds the seeds {_span(seeds)}, and {wanted[met[0]].path.name} "
                f"would hold {_span(met[0])}, some of them twice: ask for as many --simulations of "
                "the same --shard, begin behind them with --seed, or choose another --out"
            )
    order = sorted(files, key=lambda seeds: seeds.start)
    refuse_mixed(order[0].start, order[-1].stop - order[0].start)
    return [files[seeds] for seeds in order]


def _seeds(path: Path) -> range:
    """The seeds of a file, which follow one another."""
    with _whole(path) as file:
        held = store.seeds(file)
    return range(int(held[0]), int(held[-1]) + 1)


def _span(seeds: range) -> str:
    return f"{seeds.start} to {seeds.stop - 1}"


def _whole(path: Path) -> h5py.File:
    """An open shard.

    Raises:
        ValueError: it is missing or damaged; the message says what to do.
    """
    try:
        return store.opened(path)
    except ValueError as error:
        raise ValueError(
            f"{error}: remove it, and ask for its seeds, to have it made anew"
        ) from error


def check_recipe(path: Path, recipe: Mapping[str, object], seeds: range) -> None:
    """Raises a ValueError if the file was made otherwise, or of other seeds."""
    with _whole(path) as file:
        found, held = store.recipe(file), store.seeds(file).tolist()
    if held != list(seeds):
        raise ValueError(
            f"{path} must hold the seeds {_span(seeds)}, got {held[0]} to "
            f"{held[-1]}: was it renamed? Choose another --out, or remove it"
        )
    _refuse_other(path, found, recipe)


def _refuse_other(place: Path, found: Mapping[str, object], recipe: Mapping[str, object]) -> None:
    """Raises a ValueError if what is there was made by another recipe."""
    differing = {**recipe, **found}
    told = [
        f"{name} is {found.get(name)}, not {recipe.get(name)}"
        for name in differing
        if found.get(name) != recipe.get(name)
    ]
    if told:
        raise ValueError(
            f"{place} was made by another recipe ({'; '.join(told)}): choose another --out, or "
            "remove it"
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


class Manifest(NamedTuple):
    """What a folder of data holds."""

    recipe: dict[str, object]
    files: list[str]


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder that has one.

    Raises:
        ValueError: it is damaged.
    """
    path = folder / MANIFEST
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Manifest(dict(found["recipe"]), [str(name) for name in found["files"]])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is no list of data files ({error}): remove it, and ask for the data again; "
            "files that are whole are kept"
        ) from error


def files_of(folder: Path, command: str) -> list[Path]:
    """The files of a finished data set.

    Raises:
        ValueError: there is none, or its list is damaged.
    """
    if not (folder / MANIFEST).is_file():
        raise ValueError(
            f"{folder} holds no finished data set: make one with '{command} --out {folder}'"
        )
    return [folder / name for name in read_manifest(folder).files]
