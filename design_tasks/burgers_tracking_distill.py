"""``physgen distill burgers-tracking``: why there is no student of the prior of Burgers tracking."""

from dataclasses import dataclass
from typing import NoReturn


@dataclass(frozen=True)
class TrackingDistilling:
    """Refused: the prior of Burgers tracking takes one evaluation an interval as it is.

    Several in an interval do harm, so that there is no better walk which a student could learn to take in
    one. Only the first window is drawn in more, in fourteen; and the prior as it is draws that in one as
    well: 'physgen design burgers-tracking --first 1'.
    """

    def refuse(self) -> NoReturn:
        """Say so.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "there is nothing to distil: the prior of burgers-tracking takes one evaluation an "
            "interval as it is, and more do harm; for its first window 'physgen design "
            "burgers-tracking --first 1' does with one, too"
        )
