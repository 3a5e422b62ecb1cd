"""The search that has the last word: its length, its chains, what it is shown wrong by."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from small_problems import KINDS, make_problem

from skconvexbn import ConvexBNRegressor
from skconvexbn.oracle.hopping import BasinHopping
from skconvexbn.oracle.search import Search
from skconvexbn.solvers import adaptive
from skconvexbn.solvers import torch as backend
from skconvexbn.solvers.interface import Options


@pytest.mark.parametrize(
    ("constants", "rise", "length"),
    [
        ({}, None, 6),  # the least
        # two for each of six neurons
        ({"CROWDED": 0.25, "USUAL": 1.0}, None, 12),
        # the penalty is 0.40 of the zero model's loss: 4^(3/4) times as long
        ({"CROWDED": 0.25, "USUAL": 0.1}, None, 36),
        ({"CROWDED": 0.25, "USUAL": 0.5}, None, 12),  # never less
        ({}, 5, 12),  # twice as long as until the rise, up to a polish
        ({"MOST_GENERATIONS": 18, "CROWDED": 0.25}, None, 18),
    ],
)
def test_length_of_a_thorough_search(constants, rise, length, monkeypatch):
    for name, value in constants.items():
        monkeypatch.setattr(f"skconvexbn.solvers.thorough.{name}", value)
    hop, generations = BasinHopping.hop, [0]

    def count(hopping):
        hop(hopping)
        generations.append(hopping.n_generations)
        if hopping.n_generations == rise:
            hopping.largest *= 1.05

    monkeypatch.setattr(BasinHopping, "hop", count)
    problem = make_problem("squared", n=60, q=4, fit_intercept=True, seed=0)
    assert backend.solve(problem, None, Options(0.1, 100)).n_iter < 100
    assert max(generations) == length


@pytest.mark.parametrize("kind", KINDS)
def test_neurons_refute_a_search_that_finds_nothing(kind, monkeypatch):
    """A neuron with mass above the constraint at V shows that the bound is too good."""

    def hop(hopping):
        hopping.n_generations += 1

    def begin(hopping, *_):
        return hopping._search.values(hopping._V, hopping._around[:0])

    def round_(search, V, beta, active, *_, **__):
        return search.values(V, active[:0])

    monkeypatch.setattr(Search, "round", round_)
    monkeypatch.setattr(BasinHopping, "_begin", begin)
    monkeypatch.setattr(BasinHopping, "hop", hop)
    problem = make_problem(kind, q=5)  # with fewer, circles would be swept
    solution = backend.solve(problem, None, Options(0.2, 30))
    features = np.maximum(problem.Q @ solution.H, 0.0) / np.linalg.norm(solution.H, axis=0)
    largest = np.linalg.norm(solution.V.T @ features, axis=0).max()
    assert problem.beta < largest * (1 + 1e-6)
    assert largest <= solution.dual_norm * (1 + 1e-9)


def test_a_thorough_search_goes_on_with_the_chains_of_the_one_before(monkeypatch):
    began, begin, hop = [], BasinHopping.__init__, BasinHopping.hop

    def recorded(hopping, *args, earlier, **options):
        began.append((hopping, earlier))
        begin(hopping, *args, earlier=earlier, **options)

    def exaggerated(hopping):
        """The first search opens the gap again."""
        hop(hopping)
        hopping.largest *= 2 if len(began) == 1 else 1

    monkeypatch.setattr(BasinHopping, "__init__", recorded)
    monkeypatch.setattr(BasinHopping, "hop", exaggerated)
    problem = make_problem("squared", n=60, q=4, fit_intercept=True, seed=0)
    backend.solve(problem, None, Options(1e-3, 100))
    (first, nothing), (_, earlier) = began[:2]
    assert nothing is None
    assert earlier is first


@pytest.mark.parametrize(("tol", "share"), [(0.0, 1.0), (1e-3, 1.0), (1e-2, 0.1**0.5)])
def test_looser_certificates_polish_a_share_of_the_maxima(tol, share, monkeypatch):
    shares, begin = [], BasinHopping.__init__

    def recorded(hopping, *args, polishing, **others):
        shares.append(polishing)
        begin(hopping, *args, polishing=polishing, **others)

    monkeypatch.setattr(BasinHopping, "__init__", recorded)
    problem = make_problem("squared", n=60, q=4, fit_intercept=True, seed=0)
    backend.solve(problem, None, Options(tol, 3))
    assert shares == pytest.approx([share] * len(shares))
    assert shares


@pytest.mark.parametrize("certify", [True, False])
def test_chains_follow_a_running_mean_of_the_residuals(certify, monkeypatch):
    monkeypatch.setattr(adaptive, "FOLLOW", 2)
    residuals, followed, begin, search = [], [], BasinHopping.__init__, Search.round

    def recorded(hopping, search, V, *args, earlier, polishing):
        if not polishing:
            followed.append((hopping, V, earlier))
        begin(hopping, search, V, *args, earlier=earlier, polishing=polishing)

    def round_(self, V, *args, **effort):
        residuals.append(V)
        return search(self, V, *args, **effort)

    monkeypatch.setattr(BasinHopping, "__init__", recorded)
    monkeypatch.setattr(Search, "round", round_)
    monkeypatch.setattr(adaptive.Incumbent, "closed", False)
    monkeypatch.setattr(adaptive, "SETTLED", -1.0)
    problem = make_problem("squared", n=60, q=4, fit_intercept=True, seed=0)
    n_iter = backend.solve(problem, None, Options(1e-9, 5, certify=certify)).n_iter
    assert n_iter == len(residuals) == 5
    assert len(followed) == (4 if certify else 0)
    mean = residuals[1]
    for k, (_, V, earlier) in enumerate(followed):
        mean = 0.5 * mean + 0.5 * residuals[k + 1]
        torch.testing.assert_close(V, mean)
        assert earlier is (followed[k - 1][0] if k else None)


def test_interrupted_in_a_thorough_search_is_not_converged(monkeypatch):
    """The gap looks closed, but the search that would vouch for it has not ended."""

    def interrupted(hopping):
        raise KeyboardInterrupt

    monkeypatch.setattr(BasinHopping, "hop", interrupted)
    X, y = load_diabetes(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match=r"Interrupted: .*; fit again, to close it"):
        model = ConvexBNRegressor(random_state=0, tol=1e-2).fit(X, y)
    assert not model.converged_
    assert model.score(X, y) > 0.5


def test_a_thorough_search_cut_short_is_not_converged():
    """The first round closes so large a gap, but there is no time to search."""
    X, y = load_diabetes(return_X_y=True)
    model = ConvexBNRegressor(random_state=0, tol=0.5)
    assert model.fit(X, y).converged_
    with pytest.warns(ConvergenceWarning, match="max_time ended the search that would vouch"):
        model.set_params(max_time=0).fit(X, y)
    assert model.dual_gap_ < 0.5 * model.zero_loss_
    assert not model.converged_
    with pytest.warns(ConvergenceWarning, match="max_time ended the search that would vouch"):
        model.set_params(tol=1e-6).fit(X, y)  # nor for a gap that is open
    assert model.dual_gap_ > 1e-6 * model.zero_loss_
