"""Every data set of an equation, by the name that ``physgen generate`` calls it."""

from physgen.datasets.equation import EquationData
from physgen.datasets.equations import EVOLVING
from physgen.datasets.pdebench import PDEBENCH
from physgen.datasets.steady import STEADY

DATA: dict[str, type[EquationData]] = {**EVOLVING, **STEADY, **PDEBENCH}
