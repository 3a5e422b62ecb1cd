"""The average of candidates: one network, its shares, and the fits that it is made of."""

import numpy as np
import pytest
from sklearn.metrics import get_scorer
from small_searches import SMALL

from skconvexbn import ConvexBNRegressor, ConvexBNRegressorCV
from skconvexbn.model_selection.candidates import fit_path
from skconvexbn.network import Network
from skconvexbn.task import Task


def test_average_is_one_network(data):
    X, y, _, _ = data
    search = ConvexBNRegressorCV(**SMALL, average=True).fit(X, y)
    assert f"average of {np.count_nonzero(search.shares_)} candidates" in search._repr_html_()
    loss = -search.cv_results_["mean_test_score"]
    shares = np.exp(-20 * (loss / loss.min() - 1))
    shares[shares < 0.01] = 0
    np.testing.assert_allclose(search.shares_, shares / shares.sum())
    assert np.count_nonzero(search.shares_) > 1
    expected = 0
    for share, params in zip(search.shares_, search.cv_results_["params"], strict=True):
        if share:
            model = ConvexBNRegressor(**params, random_state=0).fit(X, y)
            expected = expected + share * model.predict(X)
    np.testing.assert_allclose(search.predict(X), expected, atol=0.05)
    W1, W2 = search.coefs_
    b1, b2 = search.intercepts_
    assert W1.shape[1] == len(W2) == len(search.gamma_) == search.n_neurons_
    np.testing.assert_allclose(np.maximum(X @ W1 + b1, 0) @ W2[:, 0] + b2, search.predict(X))
    with pytest.raises(ValueError, match="average=True needs scores that are minus a loss"):
        ConvexBNRegressorCV(**SMALL, average=True, scoring=lambda m, X, y: 1.0).fit(X, y)
    some = iter([-1.0] * 5 + [1.0, np.nan] + [-1.0] * 5)  # their means are negative
    with pytest.raises(ValueError, match="average=True needs scores that are minus a loss, got 1"):
        ConvexBNRegressorCV(**SMALL, average=True, scoring=lambda *_: next(some)).fit(X, y)
    for gain in ("r2", get_scorer("r2")):
        with pytest.raises(ValueError, match=r"minus a loss, got scoring=.*r2"):
            ConvexBNRegressorCV(**SMALL, average=True, scoring=gain).fit(X, y)


@pytest.mark.filterwarnings("ignore:.*are NaN")
@pytest.mark.parametrize(
    ("scores", "shares"),
    [
        ({2.0: 0.0, 0.5: 0.0}, [1, 0]),
        ({2.0: -9.0, 0.5: -1.0}, [0, 1]),
        ({2.0: np.nan, 0.5: -1.0}, [0, 1]),
    ],
    ids=["perfect", "one is far worse", "one has none"],
)
def test_shares_of_an_average(data, scores, shares):
    params = {**SMALL, "shrinkages": [0.0], "average": True}
    search = ConvexBNRegressorCV(**params, scoring=lambda model, X, y: scores[model.beta])
    assert search.fit(*data[:2]).shares_.tolist() == shares


def test_the_best_of_an_average_is_the_certified_one(data, monkeypatch):
    averaged, certified = [], []
    average, solve = Network.average, Task.solve

    def spied(task, beta, start=None, certify=True, *args):
        fit = solve(task, beta, start, certify, *args)
        certified.extend([fit.network] if certify else [])
        return fit

    monkeypatch.setattr(Task, "solve", spied)
    monkeypatch.setattr(
        Network,
        "average",
        lambda networks, shares: averaged.extend(networks) or average(networks, shares),
    )
    ConvexBNRegressorCV(**SMALL, average=True).fit(*data[:2])
    assert len(certified) == 1 < len(averaged)
    assert any(network is certified[0] for network in averaged)


def test_an_average_begins_at_the_largest_beta_with_a_share(data, monkeypatch):
    betas, solve = [], Task.solve
    monkeypatch.setattr(
        Task, "solve", lambda task, beta, *args: betas.append(beta) or solve(task, beta, *args)
    )
    model = ConvexBNRegressor(random_state=0)
    training = model._training(*model._validate(*data[:2], None))
    fits = fit_path(model, training, 0, np.array([3.0, 2.0, 1.0]), np.array([0.0, 0.5, 0.5]))
    assert betas == [2.0, 1.0]
    assert {j: fit.beta for j, fit in fits.items()} == {1: 2.0, 2: 1.0}
    assert set(fit_path(model, training, 0, np.array([3.0, 2.0, 1.0]), np.eye(3)[0])) == {0}
    ends = fit_path(model, training, 0, np.array([3.0, 2.0, 1.0]), np.array([0.5, 0.0, 0.5]))
    assert {j: fit.beta for j, fit in ends.items()} == {0: 3.0, 2: 1.0}
