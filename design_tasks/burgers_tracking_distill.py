"""``physgen distill burgers-tracking``: why there is no student of the prior of Burgers tracking."""

from dataclasses import dataclass
from typing import NoReturn


@dataclass(frozen=True)
class TrackingDistilling:
    """Refused: the prior of Burgers tracking takes one evaluation an interval as it is.

    Several in an interval do harm, so that there is no longer walk that a student could learn to take in
    one. What is drawn in more is the first window, fourteen once for a whole run.
    """

    def refuse(self) -> NoReturn:
        """Say so.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "there is nothing to distil: the prior of burgers-tracking takes one evaluation an "
            "interval as it is, and more of them do not make it better; use it by 'physgen design "
            "burgers-tracking'"
        )
