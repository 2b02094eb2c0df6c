"""Telling a waiting person how far long work has come."""

import abc


class Progress(abc.ABC):
    """Work in stages, one after the other."""

    @abc.abstractmethod
    def stage(self, what: str) -> None:
        """A stage begins, and the one before it is done."""

    @abc.abstractmethod
    def share(self, done: float) -> None:
        """So much of the stage is done, from 0 to 1."""


class Silent(Progress):
    """Nobody waits."""

    def stage(self, what: str) -> None:
        pass

    def share(self, done: float) -> None:
        pass
