"""Inverse design and simulation of physical systems: everything with an opinion is an energy."""

__version__ = "0.1.0"
