"""The command line: the one file of the core that knows the other folders.

What is known of a command stands in one frozen dataclass, from which its options and help are
made; it is imported only when the command is called.
"""

import difflib
import inspect
import io
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

# Threads that spin while they wait make small tensors many times slower on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console, RenderableType

    from physgen.progress import Progress
    from physgen.rounds import Distilling
    from physgen.training import Report
    from physgen.verdict import Verdict

Options = TypeVar("Options")
Found = TypeVar("Found")
Arguments = Sequence[str]
HELP = ("-h", "--help")


@runtime_checkable
class InFolder(Protocol):
    """Options of what leaves its results in a folder."""

    @property
    def out(self) -> "Path": ...


@runtime_checkable
class Samples(InFolder, Protocol):
    """Options of a data set."""

    @property
    def simulations(self) -> int: ...


Run = TypeVar("Run", bound=InFolder)
Data = TypeVar("Data", bound=Samples)


@dataclass(frozen=True)
class Command:
    """Something to be done, and what is said of it in the overview."""

    words: tuple[str, ...]
    about: str
    run: Callable[[Arguments], None]

    @property
    def name(self) -> str:
        return " ".join(self.words)

    @property
    def resumes(self) -> bool:
        """Whether it takes up what an interrupted one has kept."""
        return self.words[0] in RESUMED and self.words not in AT_ONCE


def parse(kind: type[Options], command: str, arguments: Arguments) -> Options:
    """The options of a command from its words.

    Raises:
        ValueError: an option is unknown, or its value is none.
    """
    return _sound(_read(kind, command, arguments))


def ask(kind: type[Options], command: str, arguments: Arguments) -> tuple[Options, bool]:
    """The options of a command, and whether its answer is for a machine.

    Raises:
        ValueError: an option is unknown, or its value is none.
    """
    from physgen.asked import Asked

    asked = _read(Asked[kind], command, arguments, inspect.getdoc(kind))  # type: ignore[valid-type]
    return _sound(asked.options), asked.json


def _read(
    kind: Callable[..., Found], command: str, arguments: Arguments, about: str | None = None
) -> Found:
    """Options from words; ``about`` is what help says, if it is not the docstring of their kind."""
    import tyro

    told, name = io.StringIO(), f"physgen {command}"
    try:
        with redirect_stderr(told):
            return tyro.cli(kind, prog=name, args=list(arguments), description=about)
    except SystemExit as left:
        if left.code != 2:
            raise
        raise ValueError(_first_of(told.getvalue(), command)) from None


def _sound(options: Options) -> Options:
    """The options themselves, if their numbers are."""
    from physgen.options import check_finite, check_seeds

    check_finite(options)
    check_seeds(options)
    return options


def _first_of(box: str, command: str) -> str:
    """The one sentence that matters of what tyro says in a frame, which may break it into lines."""
    lines = [line.strip(" │╭╮╰╯|+") for line in box.splitlines()]
    rules = [k for k, line in enumerate(lines) if not line.strip("─- ")]
    start = next((k for k, line in enumerate(lines) if line.startswith("─") or "─ " in line), 0)
    end = next((k for k in rules if k > start + 1), len(lines))
    within = [lines[k] for k in range(start + 1, end) if k not in rules]
    said = " ".join(within).rstrip(".") or "the options cannot be read"
    said = re.sub(r"^Error parsing [A-Za-z._]+: ", "", said)
    said = re.sub(
        r"invalid literal for int\(\) with base 10:", "a whole number is needed, got", said
    )
    said = said.replace("could not convert string to float:", "a number is needed, got")
    meant = [lines[k + 1].split()[0] for k, line in enumerate(lines[:-1]) if "Perhaps you" in line]
    hint = f"did you mean {meant[0]}?" if meant else f"see physgen {command} --help"
    return f"{said}: {hint}"


def console(machine: bool = False) -> "Console":
    """Where people are told things: standard error when standard output is for a machine."""
    from rich.console import Console

    return Console(stderr=machine)


def tasks(arguments: Arguments) -> None:
    from physgen.asked import Nothing

    _, machine = ask(Nothing, "tasks", arguments)
    found = {command.words[1]: command.about for command in family("design")}
    if machine:
        print(json.dumps(found))
        return
    for name, about in found.items():
        print(f"{name:<17}{about}")


def _design(
    name: str,
    kind: type[Options],
    design: "Callable[[Options, Progress], Verdict]",
    arguments: Arguments,
    main: str = "objective",
) -> None:
    """Do what a task's options ask, and show its main figure, or print all for a machine."""
    from pathlib import Path

    from physgen.verdict import table

    options, machine = ask(kind, f"design {name}", arguments)
    out = console(machine)
    with stages() as shown:
        verdict = design(options, shown)
    if machine:
        print(json.dumps(asdict(verdict), allow_nan=False))
        return
    out.print(table(verdict, main))
    for line in verdict.warnings:
        out.print(f"[yellow]Note:[/] {line}")
    out.print(f"Look at {Path(str(verdict.options['out'])) / 'report.html'}")


def design_nbody(arguments: Arguments) -> None:
    from physgen.design_tasks.nbody_run import NBodyOptions, design_nbody

    _design("nbody", NBodyOptions, design_nbody, arguments)


def design_burgers_control(arguments: Arguments) -> None:
    from physgen.design_tasks.burgers_run import BurgersOptions, design_burgers

    _design("burgers-control", BurgersOptions, design_burgers, arguments)


def design_burgers_tracking(arguments: Arguments) -> None:
    from physgen.design_tasks.burgers_tracking_run import TrackingOptions, design_tracking

    _design("burgers-tracking", TrackingOptions, design_tracking, arguments)


def design_inverse(arguments: Arguments) -> None:
    from physgen.design_tasks.inverse_run import InverseOptions, design_inverse

    _design("inverse", InverseOptions, design_inverse, arguments, "relative_error")


def design_simulate(arguments: Arguments) -> None:
    from physgen.design_tasks.simulate_run import SimulateOptions, design_simulate

    _design("simulate", SimulateOptions, design_simulate, arguments, "crps")


def design_airfoils(arguments: Arguments) -> None:
    from physgen.design_tasks.airfoil_run import AirfoilsOptions, design_airfoils

    _design("airfoils", AirfoilsOptions, design_airfoils, arguments, "drag_change")


def _generate(
    data: Data,
    generate: "Callable[[Data, Callable[[int], None]], list[Path]]",
    what: str = "simulations",
) -> None:
    """Make the data that are missing in a folder."""
    from physgen.files import writable_folder

    writable_folder(data.out)
    with progress(what, data.simulations) as tell:
        files = generate(data, lambda done: tell(done, ""))
    print(f"{data.simulations} {what} in {len(files)} files in {data.out}")


def generate_nbody(arguments: Arguments) -> None:
    from physgen.datasets.nbody import NBodyData, generate

    _generate(parse(NBodyData, "generate nbody", arguments), generate)


def generate_airfoil(arguments: Arguments) -> None:
    from physgen.datasets.airfoil import AirfoilData, generate

    _generate(parse(AirfoilData, "generate airfoil", arguments), generate, "flows")


def generate_equation(name: str) -> Callable[[Arguments], None]:
    """The command that makes data of one equation."""

    def run(arguments: Arguments) -> None:
        from physgen.datasets.catalogue import DATA
        from physgen.datasets.equation import generate

        _generate(parse(DATA[name], f"generate {name}", arguments), generate)

    return run


def generate_burgers_control(arguments: Arguments) -> None:
    from physgen.datasets.burgers_control import BurgersControlData, generate

    _generate(parse(BurgersControlData, "generate burgers-control", arguments), generate)


def generate_sections(arguments: Arguments) -> None:
    from physgen.datasets.sections import SectionsOptions, gather

    options = parse(SectionsOptions, "generate sections", arguments)
    with progress("files", 0) as tell:
        kept = gather(options, lambda done, total: tell(done, f"of {total}"))
    print(f"{len(kept)} sections in {options.out}")


def train_airfoil(arguments: Arguments) -> None:
    from physgen.design_tasks.airfoil_train import AirfoilTraining, train_airfoil

    _train(parse(AirfoilTraining, "train airfoil", arguments), train_airfoil)


def train_burgers_control(arguments: Arguments) -> None:
    from physgen.design_tasks.burgers_train import BurgersTraining, train_burgers

    _train(parse(BurgersTraining, "train burgers-control", arguments), train_burgers)


def train_burgers_tracking(arguments: Arguments) -> None:
    from physgen.design_tasks.burgers_tracking_train import TrackingTraining, train_tracking

    _train(parse(TrackingTraining, "train burgers-tracking", arguments), train_tracking)


def train_inverse(arguments: Arguments) -> None:
    from physgen.design_tasks.inverse_train import InverseTraining, train_inverse

    _train(parse(InverseTraining, "train inverse", arguments), train_inverse)


def train_nbody(arguments: Arguments) -> None:
    from physgen.design_tasks.nbody_train import NBodyTraining, train_nbody

    _train(parse(NBodyTraining, "train nbody", arguments), train_nbody)


def train_simulate(arguments: Arguments) -> None:
    from physgen.design_tasks.simulate_train import SimulateTraining, train_simulate

    _train(parse(SimulateTraining, "train simulate", arguments), train_simulate)


def distill_airfoil(arguments: Arguments) -> None:
    from physgen.design_tasks.airfoil_distill import AirfoilDistilling

    _distill(AirfoilDistilling, "airfoil", arguments)


def distill_burgers_control(arguments: Arguments) -> None:
    from physgen.design_tasks.burgers_distill import BurgersDistilling

    _distill(BurgersDistilling, "burgers-control", arguments)


def distill_burgers_tracking(arguments: Arguments) -> None:
    from physgen.design_tasks.burgers_tracking_distill import TrackingDistilling

    parse(TrackingDistilling, "distill burgers-tracking", arguments).refuse()


def distill_inverse(arguments: Arguments) -> None:
    from physgen.design_tasks.inverse_distill import InverseDistilling

    _distill(InverseDistilling, "inverse", arguments)


def distill_nbody(arguments: Arguments) -> None:
    from physgen.design_tasks.nbody_distill import NBodyDistilling

    _distill(NBodyDistilling, "nbody", arguments)


def distill_simulate(arguments: Arguments) -> None:
    from physgen.design_tasks.simulate_distill import SimulateDistilling

    _distill(SimulateDistilling, "simulate", arguments)


def _distill(kind: "type[Distilling]", name: str, arguments: Arguments) -> None:
    from physgen.rounds import distill

    _train(parse(kind, f"distill {name}", arguments), distill)


def _train(options: Options, train: "Callable[[Options, Callable[[int], Report]], Path]") -> None:
    import torch

    first = os.environ.get("RANK", "0") == "0"
    if "RANK" in os.environ:
        torch.set_num_threads(1)
    with ExitStack() as stack:

        def report(steps: int) -> "Report":
            if not first:
                return lambda step, loss: None
            tell = stack.enter_context(progress("steps", steps))
            return lambda step, loss: tell(step, f"loss {loss:.4f}")

        weights = train(options, report)
    if first:
        print(f"weights in {weights}, scores and loss curve beside them")


def _simulate(
    options: Run,
    machine: bool,
    run: "Callable[[Run, Progress], Found]",
    table: "Callable[[Found], RenderableType]",
    pictures: Sequence[str] = (),
) -> None:
    """Run what a case's options ask, and show its figures, or print all for a machine."""
    with stages() as shown:
        found = run(options, shown)
    if machine:
        print((options.out / "simulation.json").read_text())
        return
    out = console()
    out.print(table(found))
    look = ", ".join(str(options.out / picture) for picture in pictures)
    out.print(f"Look at {look}; all in {options.out}" if look else f"All in {options.out}")


def simulate(name: str) -> Callable[[Arguments], None]:
    """The command that runs one named flow."""

    def run(arguments: Arguments) -> None:
        from physgen.design_tasks import flow_cases
        from physgen.design_tasks.flow_simulate import simulate, table

        asked = ask(getattr(flow_cases, name.capitalize()), f"simulate {name}", arguments)
        _simulate(*asked, simulate, table, ("sheet.png", "flow.gif"))

    return run


def simulate_equation(name: str) -> Callable[[Arguments], None]:
    """The command that runs one named equation."""

    def run(arguments: Arguments) -> None:
        from physgen.design_tasks.equation_cases import CASES
        from physgen.design_tasks.equation_simulate import simulate, table

        asked = ask(CASES[name], f"simulate {name}", arguments)
        _simulate(*asked, simulate, table, ("sheet.png",))

    return run


def simulate_steady(name: str) -> Callable[[Arguments], None]:
    """The command that solves one named steady problem."""

    def run(arguments: Arguments) -> None:
        from physgen.design_tasks.steady_cases import CASES
        from physgen.design_tasks.steady_simulate import solve, table

        asked = ask(CASES[name], f"simulate {name}", arguments)
        _simulate(*asked, solve, table, ("sheet.png",))

    return run


def simulate_lilypad(arguments: Arguments) -> None:
    from physgen.design_tasks.flow_lilypad import Lilypad, simulate, table

    _simulate(*ask(Lilypad, "simulate lilypad", arguments), simulate, table)


def verify_pair(arguments: Arguments) -> None:
    from physgen.design_tasks.flow_verify import CLAIM, PairOptions, verify_pair
    from physgen.solvers.verify import facts, table

    options, machine = ask(PairOptions, "verify pair", arguments)
    with stages() as shown:
        study, second = verify_pair(options, shown)
    if machine:
        told = {**facts(study, [CLAIM]), "lattice_boltzmann": dict(second) or None}
        print(json.dumps(told, allow_nan=False))
        return
    out = console()
    out.print(table(study, [CLAIM]))
    if second:
        print(f"Lattice Boltzmann, {options.lattice} cells a chord:")
        for name, value in second.items():
            print(f"  {name:<20}{value:8.4f}")


def render(arguments: Arguments) -> None:
    from physgen.design_tasks.flow_render import RenderOptions, render

    for path in render(parse(RenderOptions, "render", arguments)):
        print(path)


def inspect_file(arguments: Arguments) -> None:
    from physgen.design_tasks.inspection import InspectOptions, describe

    options, machine = ask(InspectOptions, "inspect", arguments)
    facts = describe(options.path)
    if machine:
        print(json.dumps(facts, default=str))
        return
    from rich.table import Table

    grid = Table(title=str(options.path), show_header=False)
    for name, value in facts.items():
        grid.add_row(name, str(value))
    console().print(grid)


def convert(arguments: Arguments) -> None:
    from physgen.datasets.foreign import ConvertOptions, convert

    options = parse(ConvertOptions, "convert", arguments)
    found = convert(options)
    print(f"{len(found.data.seed)} of {found.samples} samples of {found.format} in {options.out}")


@contextmanager
def stages() -> Iterator["Progress"]:
    """A line with a bar for each stage of some work, on standard error."""
    from rich import progress as bars

    from physgen.progress import Progress

    columns = (
        bars.SpinnerColumn(finished_text="✓"),
        bars.TextColumn("{task.description}"),
        bars.BarColumn(bar_width=20),
        bars.TimeElapsedColumn(),
        bars.TextColumn("left"),
        bars.TimeRemainingColumn(),
    )
    with ExitStack() as stack:
        shown = bars.Progress(*columns, console=console(machine=True))

        class Bars(Progress):
            def __init__(self) -> None:
                self.tasks: list[bars.TaskID] = []

            def stage(self, what: str) -> None:
                if not self.tasks:
                    stack.enter_context(shown)
                self.close()
                self.tasks.append(shown.add_task(what, total=None))

            def share(self, done: float) -> None:
                shown.update(self.tasks[-1], total=1.0, completed=done)

            def close(self) -> None:
                for task in self.tasks[-1:]:
                    shown.update(task, total=1.0, completed=1.0)

        lines = Bars()
        yield lines
        lines.close()


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """A bar with rate and time left on standard error, and the function that moves it."""
    from rich import progress as bars

    columns = (
        bars.TextColumn(what),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn("{task.fields[rate]}"),
        bars.TimeElapsedColumn(),
        bars.TextColumn("left"),
        bars.TimeRemainingColumn(),
        bars.TextColumn("{task.fields[note]}"),
    )
    with bars.Progress(*columns, console=console(machine=True)) as bar:
        task = bar.add_task(what, total=total, note="", rate="")

        def tell(done: int, note: str) -> None:
            speed = bar.tasks[0].speed
            rate = f"{speed:.1f}/s" if speed else ""
            bar.update(task, completed=done, note=note, rate=rate)

        yield tell


COMMANDS = (
    Command(("tasks",), "What can be designed, one line each.", tasks),
    Command(("design", "airfoils"), "Airfoils that together have less drag.", design_airfoils),
    Command(
        ("design", "burgers-control"),
        "Forces that take a velocity from one state to another.",
        design_burgers_control,
    ),
    Command(
        ("design", "burgers-tracking"),
        "Forces that make a velocity follow another under noise, chosen as it goes.",
        design_burgers_tracking,
    ),
    Command(
        ("design", "inverse"),
        "Fields, and what made them, from a few noisy sensors.",
        design_inverse,
    ),
    Command(("design", "nbody"), "Discs in a box that end close to its centre.", design_nbody),
    Command(
        ("design", "simulate"),
        "What becomes of a chaotic state that is known up to noise, as an ensemble.",
        design_simulate,
    ),
    Command(
        ("generate", "burgers-control"),
        "Velocities between walls under random forces, with their recipe.",
        generate_burgers_control,
    ),
    Command(("generate", "nbody"), "Simulations of discs, with their recipe.", generate_nbody),
    Command(
        ("generate", "airfoil"), "Mean flows past an airfoil, with their recipe.", generate_airfoil
    ),
    Command(("generate", "sections"), "The table of real airfoil sections.", generate_sections),
    *(
        Command(("generate", name), about, generate_equation(name))
        for name, about in (
            ("advection", "Fields that are carried along."),
            ("heat", "Temperatures that even out."),
            ("burgers", "Waves that steepen into fronts."),
            ("kdv", "Waves in shallow water that fall into solitons."),
            ("kuramoto", "Chaotic flame fronts."),
            ("fisher", "Populations that spread."),
            ("gray-scott", "Drops that grow into patterns."),
            ("fitzhugh-nagumo", "An excitable medium that settles into spots."),
            ("turbulence", "Vortices of a plane flow that merge and decay."),
            ("wave", "Waves between walls."),
            ("walled-burgers", "The data of DiffPhyCon's control problem."),
            ("darcy", "Flow through ground of two permeabilities."),
            ("helmholtz", "Standing waves under random sources."),
            ("poisson", "Potentials of random sources."),
            ("pdebench-diffusion-reaction", "PDEBench's plane of spots, seed for seed."),
            ("pdebench-diffusion-sorption", "PDEBench's solute in ground, seed for seed."),
        )
    ),
    Command(("train", "airfoil"), "The prior of one airfoil in any stream.", train_airfoil),
    Command(
        ("train", "burgers-control"),
        "The prior of a velocity between walls and its force.",
        train_burgers_control,
    ),
    Command(
        ("train", "burgers-tracking"),
        "The prior of windows of a velocity and its force, a noise level for each step.",
        train_burgers_tracking,
    ),
    Command(
        ("train", "inverse"),
        "The prior of a coefficient, source or start and its state.",
        train_inverse,
    ),
    Command(("train", "nbody"), "The prior of two discs over a short window.", train_nbody),
    Command(
        ("train", "simulate"),
        "The prior of windows of a chaotic velocity, and a surrogate.",
        train_simulate,
    ),
    Command(
        ("distill", "airfoil"), "The prior of airfoils in a few evaluations.", distill_airfoil
    ),
    Command(
        ("distill", "burgers-control"),
        "The prior of Burgers control in a few evaluations.",
        distill_burgers_control,
    ),
    Command(
        ("distill", "burgers-tracking"),
        "Refused, with the reason: its prior takes one evaluation an interval.",
        distill_burgers_tracking,
    ),
    Command(
        ("distill", "inverse"),
        "The prior of Darcy's coefficient and state in a few evaluations.",
        distill_inverse,
    ),
    Command(("distill", "nbody"), "The prior of two discs in a few evaluations.", distill_nbody),
    Command(
        ("distill", "simulate"),
        "The prior of windows of a chaotic velocity in a few evaluations.",
        distill_simulate,
    ),
    *(
        Command(("simulate", name), about, simulate(name))
        for name, about in (
            ("cylinder", "A circular cylinder in a stream."),
            ("airfoil", "An airfoil in a stream."),
            ("tandem", "Two cylinders or airfoils in line."),
            ("channel", "A cylinder in a channel (DFG 2D-1, 2D-2)."),
            ("cavity", "A box with a sliding lid."),
            ("vortex", "A Taylor–Green vortex, against its exact decay."),
            ("plume", "Warm smoke around an obstacle."),
        )
    ),
    Command(
        ("simulate", "lilypad"),
        "Two foils in line, in the set-up of a published design.",
        simulate_lilypad,
    ),
    *(
        Command(("simulate", name), about, simulate_equation(name))
        for name, about in (
            ("advection", "A bump that is carried along, against where it must be."),
            ("heat", "Waves of temperature that fade, against their exact rates."),
            ("burgers", "Waves that steepen into fronts, against Cole and Hopf."),
            ("kdv", "Two solitons that pass through one another, against Hirota."),
            ("kuramoto", "A flame front that grows chaotic."),
            ("fisher", "A population that spreads, against its exact fronts."),
            ("gray-scott", "Drops that grow into a pattern."),
            ("fitzhugh-nagumo", "An excitable medium that settles into spots."),
            ("turbulence", "Vortices of a plane flow that merge and decay."),
            ("wave", "A membrane that was struck, against its exact tones."),
            ("walled-burgers", "The flow of DiffPhyCon's control problem."),
        )
    ),
    *(
        Command(("simulate", name), about, simulate_steady(name))
        for name, about in (
            ("darcy", "Pressure in uneven ground, against a manufactured solution."),
            ("helmholtz", "Standing waves under a source, against an exact solution."),
            ("poisson", "The potential of a source, against an exact solution."),
        )
    ),
    Command(
        ("verify", "pair"), "Whether two foils in line save drag on finer grids too.", verify_pair
    ),
    Command(("render",), "Pictures, films and ParaView series of a flow file.", render),
    Command(("convert",), "A file of PDEBench, The Well or others as one of ours.", convert),
    Command(
        ("inspect",), "What is in a data, weights or verdict file, or a folder.", inspect_file
    ),
)

RESUMED = ("generate", "train", "distill", "simulate", "verify")
"""First words of commands that keep what is done, and go on from there."""
AT_ONCE = (
    ("generate", "sections"),
    *(("simulate", name) for name in ("lilypad", "darcy", "helmholtz", "poisson")),
)
"""Those among them that keep nothing before the end."""

OVERVIEW = "physgen: inverse design of physical systems; everything with an opinion is an energy."


def family(first: str) -> list[Command]:
    """The commands of two words that begin with this one."""
    return [one for one in COMMANDS if one.words[0] == first and len(one.words) > 1]


def overview(commands: Sequence[Command]) -> str:
    width = max(len(command.name) for command in commands)
    lines = [f"  physgen {command.name:<{width}}  {command.about}" for command in commands]
    rest = "Each of them tells its options with --help."
    return "\n".join((OVERVIEW, "", *lines, "", rest))


def find(arguments: Arguments) -> tuple[Command, Arguments]:
    """The command that the first words name, and the words behind it.

    Raises:
        ValueError: there is none; the nearest is suggested.
    """
    words = [word for word in arguments if not word.startswith("-")]
    for command in COMMANDS:
        length = len(command.words)
        if tuple(arguments[:length]) == command.words:
            return command, arguments[length:]
    first = sorted({command.words[0] for command in COMMANDS})
    if arguments[0] in first:
        names = [command.words[1] for command in family(arguments[0])]
        said, kind = (words[1] if len(words) > 1 else ""), f"physgen {arguments[0]}"
    else:
        said, names, kind = arguments[0], first, "physgen"
    near = difflib.get_close_matches(said, names, 1)
    hint = f"did you mean '{kind} {near[0]}'?" if near else f"there is: {', '.join(names)}"
    raise ValueError(f"'{kind}' knows no '{said}': {hint}" if said else f"{kind} what? {hint}")


def main(arguments: Arguments | None = None) -> int:
    """Run a command; 0 is done, 2 bad input, 1 a failure, 130 an interruption."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in HELP:
        print(overview(COMMANDS))
        return 0
    if arguments[1:2] and arguments[1] in HELP and (several := family(arguments[0])):
        print(overview(several))
        return 0
    if arguments[0] == "--version":
        from physgen import __version__

        print(__version__)
        return 0
    try:
        command, rest = find(arguments)
    except ValueError as error:
        return _tell(error, 2)
    try:
        command.run(rest)
    except ValueError as error:
        return _tell(error, 2)
    except (FloatingPointError, OSError, RuntimeError) as error:
        return _tell(error, 1)
    except KeyboardInterrupt:
        then = "takes up what was kept" if command.resumes else "begins anew"
        print(f"interrupted: the same command {then}", file=sys.stderr)
        return 130
    return 0


def _tell(error: Exception, code: int) -> int:
    """One line on standard error."""
    print(f"physgen: {' '.join(str(error).split())}", file=sys.stderr)
    return code


def _note(message: Warning | str, *_: object, **__: object) -> None:
    """A warning as one line."""
    print(f"Note: {message}", file=sys.stderr)


def script() -> None:
    """The entry point of the installed command."""
    warnings.showwarning = _note
    sys.exit(main())


if __name__ == "__main__":
    script()
