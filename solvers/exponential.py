r"""Periodic semilinear equations by exponential time differencing.

.. math:: u_t = L u + N(u) + m

Fourier modes make the linear part diagonal, :math:`\hat u_t = \lambda_k \hat u + \hat N + \hat m`.
With :math:`z = \lambda_k \Delta t` it is followed exactly,

.. math:: \hat u(t + \Delta t) = e^z \hat u(t)
    + \int_0^{\Delta t} e^{\lambda_k (\Delta t - s)}\, \hat N(u(t + s))\, ds,

and the integral by one to four stages (Cox & Matthews, 2002,
https://doi.org/10.1006/jcph.2002.6995), so that stiff linear terms do not limit the step. The
stages' weights are divided differences of :math:`e^z`; near :math:`z = 0` they lose all digits,
and are computed as means over a circle around each :math:`z` instead (Kassam & Trefethen, 2005,
https://doi.org/10.1137/S1064827502410633), in double precision whatever that of the state.

An equation is two short methods, see :class:`Semilinear`. The boundary data of a step are a
forcing :math:`m`, one channel for each of the state's, constant within the step; or no channels.
"""

import abc
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Num
from torch import Tensor

from physgen.shapes import Boundary, State
from physgen.solvers.evolution import Evolution, refuse_other_grid
from physgen.solvers.number import refuse_other_axes
from physgen.solvers.periodic import Modes, Periodic, Spectrum

CIRCLE = 32
"""Points on the circle of radius 1 around each eigenvalue times the step. The error of the mean
falls like 1 / CIRCLE!, so that 32 leave rounding only."""

Symbol = Num[Tensor, "..."]
"""An eigenvalue, or a weight, for each mode, ``(channel, *mode)``: real or complex. The batch comes
first where numbers of the equation are one for each sample."""
Nonlinear = Callable[[Spectrum], Spectrum]


class Semilinear(abc.ABC):
    """An equation on a periodic box: a linear symbol and a nonlinear term.

    Its numbers are attributes, floats or tensors of one number a sample; these may want a gradient.
    """

    degree: int = 2
    """The highest number of fields that the nonlinear term multiplies."""
    mixes: bool = False
    """Whether the nonlinear term has linear parts too, as between two channels. It is then computed of
    all modes, of which products keep their own; else the modes that no product keeps feel the linear
    part alone, and are followed at once."""

    @abc.abstractmethod
    def fields(self, axes: int) -> tuple[str, ...]:
        """Names of the channels in a box with so many axes.

        Raises:
            ValueError: the equation is not for such a box.
        """

    @abc.abstractmethod
    def linear(self, modes: Modes) -> Symbol:
        """The eigenvalue of the linear part for each mode, in 1/s."""

    @abc.abstractmethod
    def nonlinear(self, spectrum: Spectrum, modes: Modes) -> Spectrum:
        """Amplitudes of the nonlinear term, of the modes that a spectrum has: those that products
        keep, or all if the equation :attr:`mixes`."""


def beside(axes: int, first: Symbol, second: Symbol) -> Symbol:
    """The symbols of two channels over so many axes, of which either may have a batch."""
    shape = torch.broadcast_shapes(first.shape, second.shape)
    return torch.cat([first.expand(shape), second.expand(shape)], -axes - 1)


class Exponential(abc.ABC):
    """A way to follow the integral over a step."""

    order: int
    """The power of the step with which the error falls."""

    @abc.abstractmethod
    def weights(self, symbol: Symbol, dt: float) -> tuple[Symbol, ...]:
        """What :meth:`step` multiplies with."""

    @abc.abstractmethod
    def step(self, u: Spectrum, slope: Nonlinear, weights: tuple[Symbol, ...]) -> Spectrum:
        """The amplitudes one step later.

        Arguments:
            u: The amplitudes.
            slope: The nonlinear term of some amplitudes.
            weights: Of the linear part and the step.
        """


class ETD1(Exponential):
    """Exponential Euler: the nonlinear term stays what it was (Cox & Matthews, equation 4)."""

    order = 1

    def weights(self, symbol: Symbol, dt: float) -> tuple[Symbol, ...]:
        z = dt * symbol
        return z.exp(), dt * circle_mean(_phi_1, z)

    def step(self, u: Spectrum, slope: Nonlinear, weights: tuple[Symbol, ...]) -> Spectrum:
        whole, phi = weights
        return torch.addcmul(whole * u, phi, slope(u))


class ETDRK2(Exponential):
    """Two stages (Cox & Matthews, equations 20 to 22)."""

    order = 2

    def weights(self, symbol: Symbol, dt: float) -> tuple[Symbol, ...]:
        z = dt * symbol
        return z.exp(), dt * circle_mean(_phi_1, z), dt * circle_mean(_phi_2, z)

    def step(self, u: Spectrum, slope: Nonlinear, weights: tuple[Symbol, ...]) -> Spectrum:
        whole, phi, change = weights
        n_u = slope(u)
        a = torch.addcmul(whole * u, phi, n_u)
        return torch.addcmul(a, change, slope(a) - n_u)


class ETDRK3(Exponential):
    """Three stages (Cox & Matthews, equations 23 to 25)."""

    order = 3

    def weights(self, symbol: Symbol, dt: float) -> tuple[Symbol, ...]:
        z, half = dt * symbol, 0.5 * dt * symbol
        sixths = (dt * weight for weight in _simpson(z))
        phi, phi_half = dt * circle_mean(_phi_1, z), 0.5 * dt * circle_mean(_phi_1, half)
        return z.exp(), phi, half.exp(), phi_half, *sixths

    def step(self, u: Spectrum, slope: Nonlinear, weights: tuple[Symbol, ...]) -> Spectrum:
        whole, phi, half, phi_half, first, middle, last = weights
        n_u = slope(u)
        n_a = slope(torch.addcmul(half * u, phi_half, n_u))
        carried = whole * u
        n_b = slope(torch.addcmul(carried, phi, 2 * n_a - n_u))
        found = torch.addcmul(carried, first, n_u).addcmul(middle, n_a, value=2)
        return found.addcmul(last, n_b)


class ETDRK4(Exponential):
    """Four stages (Cox & Matthews, equations 26 to 29; the last one's start in products of its
    weights, which saves two passes over the amplitudes)."""

    order = 4

    def weights(self, symbol: Symbol, dt: float) -> tuple[Symbol, ...]:
        z = dt * symbol
        half = (0.5 * z).exp()
        phi_half = 0.5 * dt * circle_mean(_phi_1, 0.5 * z)
        back, twice = (half - 1) * phi_half, 2 * phi_half
        return z.exp(), half, phi_half, back, twice, *(dt * weight for weight in _simpson(z))

    def step(self, u: Spectrum, slope: Nonlinear, weights: tuple[Symbol, ...]) -> Spectrum:
        whole, half, phi_half, back, twice, first, middle, last = weights
        n_u, half_way, carried = slope(u), half * u, whole * u
        n_a = slope(torch.addcmul(half_way, phi_half, n_u))
        n_b = slope(torch.addcmul(half_way, phi_half, n_a))
        n_c = slope(torch.addcmul(carried, back, n_u).addcmul(twice, n_b))
        found = torch.addcmul(carried, first, n_u).addcmul(middle, n_a + n_b)
        return found.addcmul(last, n_c)


def circle_mean(function: Callable[[Tensor], Tensor], z: Symbol) -> Symbol:
    """A function of eigenvalues as its mean over a circle around each (Kassam & Trefethen, 2005),
    which is its value, as it has no poles there."""
    angles = 2 * torch.pi * (torch.arange(CIRCLE, dtype=torch.float64) + 0.5) / CIRCLE
    total = torch.zeros_like(z, dtype=torch.complex128)
    for point in torch.exp(1j * angles):
        total = total + function(z + point)
    mean = total / CIRCLE
    return mean if z.is_complex() else mean.real


def _phi_1(z: Tensor) -> Tensor:
    return (z.exp() - 1) / z


def _phi_2(z: Tensor) -> Tensor:
    return (z.exp() - 1 - z) / z**2


def _simpson(z: Symbol) -> tuple[Symbol, Symbol, Symbol]:
    """Weights of the beginning, the middle twice, and the end of a step; for z = 0 those of
    Simpson's rule, 1/6, 1/3 and 1/6."""
    first = circle_mean(lambda z: (-4 - z + z.exp() * (4 - 3 * z + z**2)) / z**3, z)
    middle = circle_mean(lambda z: 2 * (2 + z + z.exp() * (z - 2)) / z**3, z)
    last = circle_mean(lambda z: (-4 - 3 * z - z**2 + z.exp() * (4 - z)) / z**3, z)
    return first, middle, last


FOURTH = ETDRK4()


class Spectral(Evolution):
    r"""Any semilinear equation on a periodic box.

    The error in space falls faster than any power of the spacing once a solution is resolved. The
    step is limited by accuracy, and for stability by the nonlinear term alone: for transport at
    speed :math:`|u|` begin with :math:`|u| \Delta t` at half the spacing.

    Arguments:
        equation: What is solved. Numbers of it that are tensors are one for each sample of a state,
            ``(batch, 1, *ones)``.
        grid: Where.
        dt: The time step, in s.
        scheme: Of order one to four.

    Raises:
        ValueError: the step is not positive, or the equation, or a number of it, is not one of such
            a box.
    """

    def __init__(
        self, equation: Semilinear, grid: Periodic, dt: float, scheme: Exponential = FOURTH
    ) -> None:
        if not dt > 0:
            raise ValueError(f"dt must be positive, got {dt}")
        self.equation = equation
        self.grid = grid
        self.dt = dt
        self.scheme = scheme
        self.fields = equation.fields(grid.axes)
        self._own = tensors(equation)
        for number in self._own:
            refuse_other_axes(number, grid.axes)
        self.alike = all(len(number) == 1 for number in self._own)
        self._prepared: dict[tuple[torch.dtype, torch.device], _Prepared] = {}

    def march(self, state: State, boundary: Boundary, steps: int) -> State:
        ready = self._prepare(state)
        whole, pushed = ready.everything.forward(state), self._forcing(boundary, ready)
        spectrum = ready.modes.part(whole)
        nonlinear = self._nonlinear(ready, pushed)
        for _ in range(steps):
            spectrum = self.scheme.step(spectrum, nonlinear, ready.weights)
        found = ready.modes.whole(spectrum)
        if self.equation.degree and not self.equation.mixes:
            carried, gained = self._beyond(ready, steps, pushed is not None)
            found = torch.addcmul(found, carried, whole)
            found = found if pushed is None else torch.addcmul(found, gained, pushed)
        return ready.everything.back(found)

    def rate(self, state: State, boundary: Boundary) -> State:
        ready = self._prepare(state)
        whole, pushed = ready.everything.forward(state), self._forcing(boundary, ready)
        found = ready.symbol * whole
        nonlinear = self._nonlinear(ready, None)(ready.modes.part(whole))
        found = found + ready.modes.whole(nonlinear)
        return ready.everything.back(found if pushed is None else found + pushed)

    def _forcing(self, boundary: Boundary, ready: "_Prepared") -> Spectrum | None:
        """Amplitudes of all modes of a forcing, if there is one."""
        if not boundary.shape[1]:
            return None
        refuse_other_grid(boundary, len(self.fields), self.grid.points)
        return ready.everything.forward(boundary)

    def _nonlinear(self, ready: "_Prepared", pushed: Spectrum | None) -> Nonlinear:
        """The nonlinear term of some amplitudes, and the forcing's."""
        if pushed is None:
            return lambda spectrum: self.equation.nonlinear(spectrum, ready.modes)
        forcing = ready.modes.part(pushed)
        return lambda spectrum: self.equation.nonlinear(spectrum, ready.modes) + forcing

    def _beyond(self, ready: "_Prepared", steps: int, forced: bool) -> tuple[Symbol, Symbol]:
        """What so many steps multiply modes with that no product keeps, and a forcing of these: the
        linear part is all that they feel, and is followed exactly. Zero for all others."""
        key = steps, forced
        if key not in ready.beyond:
            with torch.inference_mode(False):  # or they would serve no gradient later
                kept = ready.modes.part(torch.ones_like(ready.symbol))
                outside = ready.modes.whole(kept) == 0
                # What grows among the kept modes may be beyond all numbers.
                z = steps * self.dt * torch.where(outside.to(ready.sharp.device), ready.sharp, 0)
                gained = steps * self.dt * circle_mean(_phi_1, z) if forced else torch.zeros(())
                carried, gained = (ready.modes.weight(one) * outside for one in (z.exp(), gained))
                ready.beyond[key] = carried, gained
        return ready.beyond[key]

    def _prepare(self, state: State) -> "_Prepared":
        """All that a step needs, in the precision of a state and where it is."""
        refuse_other_grid(state, len(self.fields), self.grid.points)
        for number in self._own:
            if len(number) not in (1, len(state)) or number.dtype != state.dtype:
                raise ValueError(
                    f"numbers of the equation are {number.dtype} for {len(number)} samples, the "
                    f"state is {state.dtype} and has {len(state)}: make them alike"
                )
        if any(number.requires_grad for number in self._own):
            return self._made(state)  # its graph is walked once
        key = state.dtype, state.device
        if key not in self._prepared:
            with torch.inference_mode(False):
                self._prepared[key] = self._made(state)
        return self._prepared[key]

    def _made(self, state: State) -> "_Prepared":
        where = self._own[0].device if self._own else None
        sharp = torch.zeros((), dtype=torch.float64, device=where)
        every = Modes(self.grid, 0, sharp)
        symbol = self.equation.linear(every)
        symbol = symbol.expand(torch.broadcast_shapes(symbol.shape, every.laplacian.shape))
        like = torch.zeros((), dtype=state.dtype, device=state.device)
        everything = Modes(self.grid, 0, like)
        modes = Modes(self.grid, self.equation.degree, like, self.equation.mixes)
        weights = self.scheme.weights(modes.part(symbol), self.dt)
        return _Prepared(
            everything,
            modes,
            symbol,
            modes.weight(symbol),
            tuple(modes.weight(weight) for weight in weights),
        )


def tensors(equation: Semilinear) -> list[Tensor]:
    """The numbers of an equation that are tensors, those in a tuple among them."""
    values = [one if isinstance(one, tuple) else (one,) for one in vars(equation).values()]
    return [number for one in values for number in one if isinstance(number, Tensor)]


@dataclass(frozen=True, eq=False)
class _Prepared:
    everything: Modes
    modes: Modes
    """Those that products keep: time steps are of these alone."""
    sharp: Symbol
    """Of all modes, in double precision."""
    symbol: Symbol
    weights: tuple[Symbol, ...]
    beyond: dict[tuple[int, bool], tuple[Symbol, Symbol]] = field(default_factory=dict)
