"""From the image of a body back to an airfoil: the section and pose that look most like it.

The weights of Kulfan's functions and the pose are fitted to the image by Levenberg's and
Marquardt's method, all images at once, with a Gaussian of real sections as a prior; so what an
image leaves open is as in real sections, and every image has an answer. How far the answer is from
the image is reported with it.
"""

import math
from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.datasets.airfoil import ANGLE, THICKNESS, WINDOW, Airfoils
from physgen.datasets.sections import library
from physgen.design_tasks.airfoil_prior import CELL, REACH, SHAPE, image
from physgen.solvers.bodies import Polygon
from physgen.solvers.sections import kulfan, place

Parameters = Float[Tensor, "batch parameter"]
"""Weights of the mean line, of half the thickness, incidence, x and y of the quarter point."""

NEAR = (slice(14, 40), slice(14, 34))
"""Cells around the airfoil: from -0.83 to 1.33 chords along the stream, 0.83 to both sides."""
POINTS = 41
"""Vertices on each side, to fit with: half a per mille of a chord from a fine section."""


class Decoded(NamedTuple):
    """Airfoils, and how well they fit."""

    airfoils: Airfoils
    """One body each, relative to the window."""
    error: Float[Tensor, " batch"]
    """Root mean square, in chords, of the distances' difference near the airfoil's surface."""


def points() -> tuple[Tensor, Tensor]:
    """Centres of a window's cells, in chords from where the airfoil is expected."""
    x = WINDOW[0] + CELL * (torch.arange(SHAPE[0]) + 0.5)
    y = WINDOW[2] + CELL * (torch.arange(SHAPE[1]) + 0.5)
    return x[:, None].expand(SHAPE), y.expand(SHAPE)


@cache
def sections_law() -> tuple[Tensor, Tensor]:
    """Mean of all parameters, and their precision: those of the training data."""
    table = library()
    ratio = (0.5 * sum(THICKNESS) / table.height)[:, None]
    weights = torch.cat([0.7 * table.camber, ratio * table.thick], 1).double()
    # The mirror image is as likely, and thickness has a spread of its own.
    weights = torch.cat([weights, weights * torch.tensor([-1.0] * 6 + [1.0] * 6)])
    mean = weights.mean(0)
    spread = (THICKNESS[1] - THICKNESS[0]) / math.sqrt(12) / (0.5 * sum(THICKNESS))
    covariance = torch.cov(weights.T) + spread**2 * torch.outer(
        torch.cat([torch.zeros(6), mean[6:]]).double(), torch.cat([torch.zeros(6), mean[6:]])
    )
    precision = torch.zeros(15, 15, dtype=torch.float64)
    precision[:12, :12] = torch.linalg.inv(covariance + 1e-5 * torch.eye(12))
    angle = math.radians(ANGLE[1] - ANGLE[0]) / math.sqrt(12)
    pose = torch.tensor([angle, CELL / 2, CELL / 2], dtype=torch.float64)
    precision[12:, 12:] = torch.diag(pose.pow(-2))
    middle = torch.tensor([math.radians(0.5 * sum(ANGLE)), 0.0, 0.0])
    return torch.cat([mean, middle.double()]), precision


@cache
def _factor() -> tuple[Tensor, Tensor]:
    """A root of the covariance of all parameters, and its inverse."""
    _, precision = sections_law()
    factor = torch.linalg.cholesky(torch.linalg.inv(precision))
    return factor, torch.linalg.inv(factor)


def unit_of(parameters: Tensor) -> Tensor:
    """Parameters as numbers of mean zero and unit variance, without correlation."""
    return (parameters - sections_law()[0].to(parameters)) @ _factor()[1].to(parameters).mT


def parameters_at(unit: Tensor) -> Tensor:
    """And back."""
    return sections_law()[0].to(unit) + unit @ _factor()[0].to(unit).mT


def airfoils_of(parameters: Parameters) -> Airfoils:
    """As airfoils of one body each."""
    camber, thick, pose = parameters.split([6, 6, 3], -1)
    upper, lower = camber + thick, camber - thick
    return Airfoils(upper[:, None], lower[:, None], pose[:, 1:2], pose[:, 2:3], pose[:, :1])


def placed(parameters: Tensor, place: Tensor) -> Airfoils:
    """Airfoils ``[design, body]`` from their parameters in their own windows."""
    one = airfoils_of(parameters.flatten(0, 1))
    shape = parameters.shape[:2]
    upper, lower = (part[:, 0].unflatten(0, shape) for part in one[:2])
    x, y, incidence = (part[:, 0].unflatten(0, shape) for part in one[2:])
    return Airfoils(upper, lower, x + place[..., 0], y + place[..., 1], incidence)


def parameters_of(airfoils: Airfoils) -> Parameters:
    """Of airfoils of one body each."""
    upper, lower = airfoils.upper[:, 0], airfoils.lower[:, 0]
    pose = torch.stack([airfoils.incidence[:, 0], airfoils.x[:, 0], airfoils.y[:, 0]], -1)
    return torch.cat([0.5 * (upper + lower), 0.5 * (upper - lower), pose], -1)


def drawn(parameters: Parameters, points_a_side: int = 41) -> Float[Tensor, "batch x y"]:
    """The image of airfoils on the window; differentiable."""
    x, y = (axis.to(parameters) for axis in points())
    return image(_distance(parameters, x, y, points_a_side))


def decode(body: Float[Tensor, "batch x y"], iterations: int = 8) -> Decoded:
    """The airfoils that images show.

    Arguments:
        body: Images in physical units, such as :func:`~.airfoil_prior.image` makes.
        iterations: Of Levenberg and Marquardt, at most; four are nearly always enough.
    """
    target = body.detach().double()[:, *NEAR]
    x, y = (axis[NEAR].to(target) for axis in points())
    mean, precision = (part.to(target) for part in sections_law())
    # Near the surface an image tells most; what its noise is there says how much to trust it.
    noise = 0.01

    def residual(p: Tensor) -> Tensor:
        return (image(_distance(p, x, y, POINTS)) - target).flatten(1) / noise

    def jacobian(p: Tensor) -> Tensor:
        """By differences, with the nearest edges sought once."""
        at = x[None, None], y[None, None]
        feet = _outline(p, POINTS).feet(*at)
        near = [_outline(p + one, POINTS).distance_from(feet, *at) for one in (0 * p, *step)]
        here, *there = (image(one).flatten(1) for one in near)
        return (torch.stack(there, -1) - here[..., None]) / (1e-5 * noise)

    def cost(p: Tensor, r: Tensor) -> Tensor:
        away = p - mean
        return r.square().sum(1) + ((away @ precision) * away).sum(1)

    p = _first(target, x, y, mean)
    step = 1e-5 * torch.eye(p.shape[1]).to(p)
    r = residual(p)
    value, damping = cost(p, r), p.new_full((len(p), 1), 1e-2)
    for _ in range(iterations):
        slopes = jacobian(p)
        normal = slopes.mT @ slopes + precision
        slope = (slopes.mT @ r[..., None])[..., 0] + (p - mean) @ precision
        damped = normal + torch.diag_embed(damping * normal.diagonal(dim1=1, dim2=2))
        trial = p - torch.linalg.solve(damped, slope)
        trial[:, 12] = trial[:, 12].clamp(-0.7, 0.7)
        tried = residual(trial)
        found = cost(trial, tried)
        better = (found < value)[:, None]
        # A step that changes nothing is the last one; one that went too far is tried shorter.
        done = bool(((value - found).abs() < 1e-3 * value).all())
        p, r = torch.where(better, trial, p), torch.where(better, tried, r)
        value = torch.where(better[:, 0], found, value)
        damping = torch.where(better, 0.2 * damping, 5 * damping)
        if done:
            break
    close = target.abs() < 0.6
    apart = REACH * (
        torch.atanh(image(_distance(p, x, y, POINTS)).clamp(-0.99, 0.99))
        - torch.atanh(target.clamp(-0.99, 0.99))
    )
    error = (apart.square() * close).sum((1, 2)) / close.sum((1, 2)).clamp(min=1)
    airfoils = Airfoils(*(part.to(body) for part in airfoils_of(p)))
    return Decoded(airfoils, error.sqrt().to(body))


def _distance(p: Parameters, x: Tensor, y: Tensor, points_a_side: int) -> Tensor:
    return _outline(p, points_a_side).distance(x, y)[:, 0]


def _outline(p: Parameters, points_a_side: int) -> Polygon:
    own = airfoils_of(p)
    section = kulfan(own.upper, own.lower, points=points_a_side)
    return Polygon(place(section, torch.ones_like(own.x), own.x, own.y, own.incidence))


def _first(target: Tensor, x: Tensor, y: Tensor, mean: Tensor) -> Parameters:
    """Pose by the moments of what is inside, and the mean section."""
    inside = (-target).clamp(min=0.0).square() + 1e-9
    inside = inside / inside.sum((1, 2), keepdim=True)
    cx, cy = (inside * x).sum((1, 2)), (inside * y).sum((1, 2))
    dx, dy = x - cx[:, None, None], y - cy[:, None, None]
    xx, yy, xy = ((inside * a * b).sum((1, 2)) for a, b in ((dx, dx), (dy, dy), (dx, dy)))
    angle = (-0.5 * torch.atan2(2 * xy, xx - yy)).clamp(-0.5, 0.5)
    pose = torch.stack([angle, cx - 0.14 * angle.cos(), cy + 0.14 * angle.sin()], 1)
    return torch.cat([mean[:12].expand(len(target), -1), pose], 1)
