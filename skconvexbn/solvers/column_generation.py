"""Column generation over given arrangements, any loss and number of outputs (theory.md 3).

The masses of the neurons found so far are a quadratic program (`masses`); those that violate the
dual constraint inside the arrangements are added (`pricing`).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ..arrangements import Arrangements
from ..oracle.cones import Cuts
from ..oracle.search import Pairs
from ..problem import Problem
from .group_lasso import settle_outputs
from .incumbent import Incumbent
from .interface import Options, Solution
from .masses import Curvature, best_masses
from .measure import Measure, Model
from .pricing import Pricing, certificate, judged

# Accuracy of the masses, relative to beta: finer than the slack of `pricing`.
FINE_MASS_TOL = 1e-9
# Neurons added in a round, those that violate the dual constraint most.
MAX_ADDED = 300
# Steps a round at most, with squared error, to output weights that no g of a pair confines.
N_SETTLED = 30


def solve_columns(model: Model, arrangements: Arrangements, options: Options) -> Solution:
    """Rounds until gap <= tol * zero_loss, a limit of the options, or nothing is violated."""
    problem = model.problem
    best = Incumbent(problem, options, certificate(problem, arrangements), str(model.Q.device))
    return judged(best.run(_rounds(model, arrangements, best)), problem, arrangements)


def _rounds(model: Model, arrangements: Arrangements, best: Incumbent) -> Iterator[str]:
    problem, t = model.problem, model.tensor
    x, curvature = Measure.of_weights(*map(t, best.network)), Curvature(model)
    pricing = Pricing(arrangements, best, MAX_ADDED)

    def price(x: Measure) -> Cuts:
        return pricing.violated(problem.dual_point(model.output(x).cpu().numpy()))

    cuts = price(x)
    while not best.closed:
        some = x.with_columns(Pairs(t(cuts.H), t(cuts.G)))
        x = best_masses(model, some, FINE_MASS_TOL, curvature=curvature)[0].active()
        if problem.loss.quadratic and problem.n_outputs > 1:
            x = _settled(problem, x, best)
        best.offer(*x.network)
        cuts = price(x)
        yield f"violated {len(cuts)}"
        if pricing.stuck or (pricing.idle and not len(cuts)):  # masses alone may gain some digits
            return


def _settled(problem: Problem, x: Measure, best: Incumbent) -> Measure:
    """The neurons with output weights that are free: with fixed g many would stand for one."""
    H, G, b = x.network
    for _ in range(N_SETTLED):
        before = G
        G, b = settle_outputs(problem, H, G, b)
        if G is before or best.seconds > best.options.max_time:
            break
    return Measure.of_weights(x.H, *(torch.as_tensor(a).to(x.H) for a in (G, b))).active()
