"""What ``verbose`` shows of a fit: a line for every round, or a bar."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .solvers.interface import Round

BAR_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}{postfix}"


@contextmanager
def progress(
    verbose: int, name: str, tol: float, unit: float
) -> Iterator[Callable[[Round], None] | None]:
    """What to call after every round; values are multiplied by ``unit`` before they are shown.

    A bar (verbose > 1) is for terminals and notebooks, and needs tqdm; else there are lines.
    """
    bar_class = _bar_class() if verbose > 1 else None
    if bar_class is None:
        yield (lambda state: print(_line(state, unit))) if verbose else None
        return
    bars: list[Any] = []  # none before the first round: the closed form may have none

    def show(state: Round) -> None:
        if not bars:
            bars.append(bar_class(total=1.0, desc=name, bar_format=BAR_FORMAT))
        bars[0].n = done(state.gap, tol)
        bars[0].set_postfix_str(f"gap {state.gap:.1e} of {tol:g}, {state.n_neurons} neurons")

    try:
        yield show
    finally:
        for bar in bars:
            bar.close()


def done(gap: float, tol: float) -> float:
    """How far the logarithm of the gap is on its way from 1 to tol, in [0, 1]."""
    if gap <= tol:
        return 1.0
    return max(math.log(gap) / math.log(tol), 0.0) if gap < 1 else 0.0


def _line(state: Round, unit: float) -> str:
    return (
        f"round {state.number}: {state.seconds:.2f} s, objective {unit * state.primal:.8g}, "
        f"bound {unit * state.dual:.8g}, gap {state.gap:.2e}, {state.n_neurons} neurons; "
        f"{state.remark}"
    )


def _bar_class() -> Any:
    """The bar of tqdm for what is shown to: a notebook or a terminal; else None."""
    if not (sys.stderr.isatty() or "ipykernel" in sys.modules):
        return None
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm
