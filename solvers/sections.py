r"""Sections of wings as polygons, differentiable in what describes them.

A section is a closed line of vertices ``[*shape, vertex, 2]`` in Selig's order: from the trailing
edge along the upper side to the leading edge, and along the lower side back. It lies in a frame of
its own, with chord 1, the leading edge at (0, 0) and the trailing edge at (1, 0). :func:`place`
carries it into the plane, and :class:`~physgen.solvers.bodies.Polygon` makes a body of it.

Vertices are dense at both ends, :math:`x = (1 - \cos\beta) / 2` with :math:`\beta` evenly spaced,
and both sides meet in one vertex at the leading edge.

References:
    Theory of Wing Sections (Abbott and von Doenhoff, 1959), sections 6.3 and 6.4, for the NACA
    four-digit sections.
    Universal Parametric Geometry Representation Method (Kulfan, 2008), Journal of Aircraft 45(1),
    https://doi.org/10.2514/1.29958
"""

import math
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.files import write_text
from physgen.solvers.bodies import Polygon

Vertices = Float[Tensor, "*shape vertex 2"]
"""The corners of sections in Selig's order."""

Sections = Float[Tensor, "*shape"]
"""One number a section."""

Weights = Float[Tensor, "*shape weight"]


def naca4(
    camber: float | Sections,
    place: float | Sections,
    thickness: float | Sections,
    points: int = 101,
    closed: bool = True,
) -> Vertices:
    r"""NACA four-digit sections, whose digits need not be whole.

    Across the mean line :math:`y_c` lies the thickness :math:`\pm y_t`,

    .. math::
        y_t &= 5 t (0.2969 \sqrt x - 0.1260 x - 0.3516 x^2 + 0.2843 x^3 - 0.1015 x^4), \\
        y_c &= \begin{cases}
            \frac{m}{p^2} (2 p x - x^2) & x < p \\
            \frac{m}{(1 - p)^2} (1 - 2 p + 2 p x - x^2) & x \ge p
        \end{cases}

    (Abbott and von Doenhoff, 1959, equations 6.2 and 6.4). A closed trailing edge has -0.1036 for
    the last coefficient; else it is 0.021 t thick.

    Arguments:
        camber: The greatest height :math:`m` of the mean line, in chords.
        place: Where along the chord it is, :math:`p`.
        thickness: The greatest thickness :math:`t`, in chords.
        points: Vertices on each side, the leading edge included.
        closed: Whether both sides meet at the trailing edge.
    """
    m, p, t = (_tensor(value)[..., None] for value in (camber, place, thickness))
    if not ((p > 0) & (p < 1)).all():
        raise ValueError("the place of greatest camber must lie between 0 and 1, in chords")
    if not (t > 0).all():
        raise ValueError(f"thickness must be positive, got {t.min().item()}")
    x = _stations(points).to(t)
    last = 0.1036 if closed else 0.1015
    y_t = 0.2969 * x.sqrt() - 0.1260 * x - 0.3516 * x**2 + 0.2843 * x**3 - last * x**4
    y_t = 5 * t * y_t
    fore, aft = m / p.square(), m / (1 - p).square()
    y_c = torch.where(x < p, fore * (2 * p * x - x**2), aft * (1 - 2 * p + 2 * p * x - x**2))
    slope = torch.where(x < p, fore, aft) * 2 * (p - x)
    c = (1 + slope.square()).rsqrt()
    s = slope * c
    upper = torch.stack(torch.broadcast_tensors(x - y_t * s, y_c + y_t * c), -1)
    lower = torch.stack(torch.broadcast_tensors(x + y_t * s, y_c - y_t * c), -1)
    return _around(upper, lower)


def naca_digits(code: str) -> tuple[float, float, float]:
    """Camber, its place and the thickness, in chords, that four digits such as ``2412`` mean.

    A section without camber has no place of it; 0.4 stands in.
    """
    if len(code) != 4 or not code.isascii() or not code.isdigit():
        raise ValueError(f"a NACA section is named by four digits, such as 2412, got {code!r}")
    camber, place, thickness = int(code[0]) / 100, int(code[1]) / 10, int(code[2:]) / 100
    if (camber > 0) != (place > 0) or thickness == 0:
        raise ValueError(
            f"NACA {code}: camber and its place must both be zero or neither, and the thickness "
            "must not be zero"
        )
    return camber, place or 0.4, thickness


class CST(NamedTuple):
    """Sections by class and shape functions; ``kulfan(*cst)`` draws them."""

    upper: Weights
    """Weights of the upper side, from the leading edge to the trailing edge; mostly positive."""

    lower: Weights
    """Weights of the lower side; mostly negative."""

    trailing: Sections
    """The thickness of the trailing edge, in chords."""

    leading: Sections
    """The weight of the leading-edge modification, zero in Kulfan's paper."""


def kulfan(
    upper: Weights,
    lower: Weights,
    trailing: float | Sections = 0.0,
    leading: float | Sections = 0.0,
    points: int = 101,
) -> Vertices:
    r"""Kulfan's sections: a class function times a Bernstein polynomial on each side.

    .. math:: y(x) = \sqrt x (1 - x) \sum_{i=0}^{n-1} w_i \binom{n-1}{i} x^i (1 - x)^{n-1-i}
        \pm \frac{\tau}{2} x + \lambda x (1 - x)^{n + 1/2}

    with the exponents :math:`N_1 = 0.5` and :math:`N_2 = 1` of the class function (Kulfan, 2008).
    The last term is the leading-edge modification of AeroSandbox, on both sides alike. Vertices are
    linear in all that describes the section. The nose has the radius :math:`w_0^2 / 2` on each
    side; six to eight weights a side draw most sections to within a line's width.

    Arguments:
        upper: Weights of the upper side.
        lower: As many weights of the lower side, negative where it bulges down.
        trailing: The thickness :math:`\tau` of the trailing edge, in chords.
        leading: The weight :math:`\lambda` of the leading-edge modification.
        points: Vertices on each side, the leading edge included.
    """
    x = _stations(points).to(upper)
    terms, edge, nose = _terms(x, upper.shape[-1])
    tau, weight = (_tensor(value).to(upper)[..., None] for value in (trailing, leading))
    y_upper = upper @ terms + weight * nose + tau * edge
    y_lower = lower @ terms + weight * nose - tau * edge
    sides = (torch.stack(torch.broadcast_tensors(x, y), -1) for y in (y_upper, y_lower))
    return _around(*sides)


def fit_cst(coordinates: Float[Tensor, "vertex 2"], weights: int = 8) -> tuple[CST, float]:
    """The Kulfan section next to a given one, and how far it is from its vertices, in chords.

    This is linear least squares of the ordinates; the error is the greatest distance of a given
    vertex from the fitted line. With eight weights a side the NACA 0012 comes within 1e-4, and
    cambered sections within 1e-3: their noses reach a little ahead of x = 0, which those of Kulfan's
    sections do not.

    Arguments:
        coordinates: A section of chord 1 in Selig's order, such as :func:`read_dat` gives.
        weights: How many weights on each side.
    """
    if weights < 1:
        raise ValueError(f"a side needs at least one weight, got {weights}")
    x, y = coordinates.detach().double().unbind(-1)
    if x.min() < -0.01 or x.max() > 1.01 or x.min() > 0.01 or x.max() < 0.99:
        raise ValueError(
            "a section to be fitted must have chord 1, from x = 0 to 1, got "
            f"{x.min().item():.4g} to {x.max().item():.4g}"
        )
    if len(x) < 2 * weights + 2:
        raise ValueError(f"{weights} weights a side cannot be fitted to {len(x)} points")
    nose = int(x.argmin())
    above = torch.arange(len(x), device=x.device) <= nose
    terms, edge, bump = _terms(x.clamp(0, 1), weights)
    rows = torch.cat(
        [terms * above, terms * ~above, torch.where(above, edge, -edge)[None], bump[None]]
    )
    solved = torch.linalg.lstsq(rows.T, y[:, None]).solution[:, 0]
    upper, lower, rest = solved.split([weights, weights, 2])
    line = kulfan(upper, lower, rest[0], rest[1], points=501)
    error = float(Polygon(line[None, None]).distance(x, y).abs().max())
    return CST(*(part.to(coordinates) for part in (upper, lower, rest[0], rest[1]))), error


def place(
    vertices: Vertices,
    chord: float | Sections,
    x: float | Sections,
    y: float | Sections,
    incidence: float | Sections,
    pivot: float = 0.25,
) -> Vertices:
    """Sections in the plane: scaled, turned nose-up, and moved.

    Arguments:
        vertices: Sections in their own frame.
        chord: The chord, in m.
        x: Where the pivot comes to lie, in m.
        y: Where the pivot comes to lie, in m.
        incidence: The angle of the chord, in radians, positive with the nose up where the flow
            goes along +x. It is the angle of attack of a flow along +x.
        pivot: The point of the chord line to turn about, in chords behind the leading edge.
    """
    length, x_0, y_0, angle = (
        _tensor(value).to(vertices)[..., None] for value in (chord, x, y, incidence)
    )
    if not (length > 0).all():
        raise ValueError(f"chord must be positive, got {length.min().item()}")
    u, v = length * (vertices[..., 0] - pivot), length * vertices[..., 1]
    c, s = angle.cos(), angle.sin()
    return torch.stack([x_0 + c * u + s * v, y_0 - s * u + c * v], -1)


def area(vertices: Vertices) -> Sections:
    """The area that the vertices go around."""
    x, y = vertices.unbind(-1)
    return (x * y.roll(-1, -1) - y * x.roll(-1, -1)).sum(-1).abs() / 2


def thickness(vertices: Vertices, stations: int = 201) -> Sections:
    """The greatest thickness across the x axis, looked for at stations evenly along it."""
    x, y = vertices[..., None, :, :].unbind(-1)
    low, high = vertices[..., 0].aminmax(dim=-1)
    along = torch.linspace(0, 1, stations + 2).to(vertices)[1:-1]
    at = (low[..., None] + along * (high - low)[..., None])[..., None]
    next_x, next_y = x.roll(-1, -1), y.roll(-1, -1)
    crossed = (x <= at) != (next_x <= at)
    run = torch.where(crossed, next_x - x, 1.0)
    height = y + (at - x) / run * (next_y - y)
    highest = torch.where(crossed, height, -math.inf).amax(-1)
    lowest = torch.where(crossed, height, math.inf).amin(-1)
    return (highest - lowest).amax(-1)


def write_dat(path: Path, name: str, coordinates: Float[Tensor, "vertex 2"]) -> None:
    """A section as a text file in Selig's format: a line of its name, then one line a vertex."""
    if not name.strip() or not name.isprintable():
        raise ValueError(f"the name of a section must be one line of text, got {name!r}")
    if not coordinates.isfinite().all():
        raise ValueError("coordinates of a section must be finite, got NaN or inf")
    lines = [f"{x!r} {y!r}" for x, y in coordinates.tolist()]
    write_text(path, "\n".join([name.strip(), *lines]) + "\n")


def read_dat(path: Path) -> tuple[str, Float[Tensor, "vertex 2"]]:
    """The name and the coordinates of a section from a file in Selig's format.

    Raises:
        ValueError: there is no file, or it is something else, or in Lednicer's format.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ValueError(f"the section {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file, so no section in Selig's format") from error
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        words = line.split()
        if not words:
            continue
        try:
            u, v = (float(word) for word in words)
        except ValueError:
            raise ValueError(
                f"{path}, line {number}: expected the two coordinates of a vertex, got {line!r}"
            ) from None
        rows.append((u, v))
    if len(rows) < 5:
        raise ValueError(
            f"{path} is no section in Selig's format: expected a name and five vertices or more, "
            f"got {len(rows)} vertices"
        )
    coordinates = torch.tensor(rows, dtype=torch.float64)
    if coordinates[0].min() > 1.5:
        raise ValueError(
            f"{path} is in Lednicer's format, which begins with the numbers of vertices: write it "
            "in Selig's, from the trailing edge over the upper side to the nose and back below"
        )
    x = coordinates[:, 0]
    nose = int(x.argmin())
    if not coordinates.isfinite().all() or nose in (0, len(x) - 1):
        raise ValueError(
            f"{path} is not in Selig's order: expected finite vertices from the trailing edge over "
            "the upper side to the nose and back below"
        )
    return lines[0].strip(), coordinates


def _stations(points: int) -> Float[Tensor, " point"]:
    """Along the chord from 0 to 1, dense at both ends."""
    if points < 3:
        raise ValueError(f"a side of a section needs at least three points, got {points}")
    turn = torch.linspace(0, math.pi, points, dtype=torch.float64)
    return (1 - turn.cos()) / 2


def _around(
    upper: Float[Tensor, "*shape point 2"], lower: Float[Tensor, "*shape point 2"]
) -> Vertices:
    """Both sides, each from nose to tail, as one line in Selig's order."""
    return torch.cat([upper.flip(-2), lower[..., 1:, :]], -2)


def _terms(x: Float[Tensor, " point"], weights: int) -> tuple[Tensor, Tensor, Tensor]:
    """What the weights, the trailing edge and the leading-edge modification multiply."""
    n = weights - 1
    shape = [math.comb(n, i) * x**i * (1 - x) ** (n - i) for i in range(weights)]
    terms = x.sqrt() * (1 - x) * torch.stack(shape)
    return terms, x / 2, x * (1 - x) ** (weights + 0.5)


def _tensor(value: float | Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=None if isinstance(value, Tensor) else torch.float64)
