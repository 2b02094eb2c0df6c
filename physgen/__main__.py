"""``python -m physgen``."""

from physgen.cli import script

script()
