"""Rows of tables, as the README has them."""

from physgen.verdict import Figure


def small(figure: Figure) -> str:
    """A mean and half its interval, by powers of ten."""
    return f"{figure.mean:.2e} ± " + ("–" if figure.half is None else f"{figure.half:.0e}")


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def head(*cells: str) -> None:
    """The names of columns, and the line below them."""
    row(*cells)
    print("|---" * len(cells) + "|", flush=True)
