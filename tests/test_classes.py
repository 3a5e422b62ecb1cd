"""Classes: their probabilities, their weights, and those of no weight."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_wine
from small_problems import small

from skconvexbn import ConvexBNClassifier


@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
def test_of_equal_probabilities_the_first_class_is_predicted(loss):
    model = ConvexBNClassifier(beta=1.0, loss=loss).fit(np.ones((4, 2)), ["a", "b"] * 2)
    np.testing.assert_array_equal(model.predict_proba([[1, 1], [0, 5]]), 0.5)
    assert model.predict([[1, 1], [0, 5]]).tolist() == ["a", "a"]


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_probabilities_of_squared_error(kind):
    X, y = small(kind)
    model = ConvexBNClassifier(loss="squared_error", random_state=0).fit(X, y)
    far = np.concatenate([X, 5 * X, 100 * X])
    probabilities = model.predict_proba(far)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert probabilities.min() >= 0
    np.testing.assert_array_equal(model.classes_[probabilities.argmax(axis=1)], model.predict(far))
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(model.predict_log_proba(far), np.log(probabilities))


def test_a_loss_set_after_the_fit_is_for_the_next_one():
    X, y = small("multiclass")
    model = ConvexBNClassifier(random_state=0).fit(X, y)
    before = model.predict_proba(X), model.predict_log_proba(X)
    model.set_params(loss="squared_error")
    np.testing.assert_array_equal((model.predict_proba(X), model.predict_log_proba(X)), before)
    np.testing.assert_allclose(model.to_sklearn_mlp().predict_proba(X), before[0], atol=1e-8)
    model.fit(X, y).set_params(loss="log_loss")
    assert model.predict_proba(X).min() == 0.0
    with pytest.raises(ValueError, match="not those of loss='squared_error'"):
        model.to_sklearn_mlp()


def test_class_weight():
    X, y = small("multiclass")
    params = {"beta": 0.3, "random_state": 0}
    balanced = ConvexBNClassifier(class_weight="balanced", **params).fit(X, y)
    w = len(y) / (3 * np.bincount(y))[y]
    by_hand = ConvexBNClassifier(**params).fit(X, y, sample_weight=w)
    np.testing.assert_allclose(balanced.predict_proba(X), by_hand.predict_proba(X), atol=1e-8)
    chosen = ConvexBNClassifier(class_weight={0: 5.0}, **params).fit(X, y)
    assert chosen.predict_proba(X)[:, 0].mean() > balanced.predict_proba(X)[:, 0].mean()
    weight = 1.0 + np.arange(len(y)) % 3
    weight[y == 2] = 0.0  # neither counted nor a class
    balanced.fit(X, y, sample_weight=weight)
    w = weight.sum() / (2 * np.bincount(y, weight)[np.minimum(y, 1)])
    by_hand.fit(X, y, sample_weight=weight * w)
    np.testing.assert_allclose(balanced.predict_proba(X), by_hand.predict_proba(X), atol=1e-8)


@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
@pytest.mark.parametrize("n_present", [2, 3])
def test_classes_of_zero_weight_have_probability_zero(loss, n_present):
    X, y = small("multiclass")
    if n_present == 3:
        y = np.where(X[:, 0] > 1, 3, y)
    kept = y != 1
    params = {"loss": loss, "beta": 0.1, "random_state": 0}
    model = ConvexBNClassifier(**params).fit(X, y, sample_weight=kept * 1.0)
    without = ConvexBNClassifier(**params).fit(X[kept], y[kept])
    assert model.classes_.tolist() == np.unique(y).tolist()
    P = model.predict_proba(X)
    assert not P[:, 1].any()
    np.testing.assert_allclose(P[:, model.classes_ != 1], without.predict_proba(X), atol=1e-9)
    np.testing.assert_array_equal(model.predict(X), without.predict(X))
    assert model.decision_function(X).shape == P.shape
    assert np.all(model.predict_log_proba(X)[:, 1] < -500)
    assert model.objective_ == without.objective_
    logits = model.to_torch()(torch.as_tensor(X)).detach().numpy()
    np.testing.assert_allclose(logits, model.decision_function(X), atol=1e-8)
    if loss == "log_loss":
        np.testing.assert_allclose(model.to_sklearn_mlp().predict_proba(X), P, atol=1e-8)


def test_one_class_of_positive_weight_is_refused():
    X, y = small("multiclass")
    with pytest.raises(ValueError, match="2 classes with positive weight, got 1 class"):
        ConvexBNClassifier().fit(X, y, sample_weight=(y == 1) * 1.0)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_numbers_may_vanish_where_numpy_raises_errors():
    X, y = load_wine(return_X_y=True)
    X, y = X[::2, :4], y[::2]
    with np.errstate(all="raise"):
        for labels in (y, y > 0):
            model = ConvexBNClassifier(beta=1e-8, max_iter=3, random_state=0)
            log_proba = model.fit(X, labels).predict_log_proba(1e6 * X)
            assert np.isfinite(log_proba).all()


@pytest.mark.parametrize("bad", [-3.0, np.nan, np.inf])
def test_bad_class_weights_are_refused(bad):
    X, y = small("multiclass")
    with pytest.raises(ValueError, match="class_weight must be finite numbers >= 0"):
        ConvexBNClassifier(class_weight={1: bad}).fit(X, y)


def test_balanced_weights_of_too_large_a_sum_are_refused_as_such():
    X, y = small("multiclass")
    with pytest.raises(ValueError, match="Sample weights add up to inf"):
        ConvexBNClassifier(class_weight="balanced").fit(X, y, np.full(len(y), 1e308))


def test_weights_and_class_weights_whose_product_overflows_are_refused():
    X, y = small("multiclass")
    model = ConvexBNClassifier(class_weight={1: 1e200})
    with pytest.raises(ValueError, match=r"up to 1e\+200 times class weights up to 1e\+200 are"):
        model.fit(X, y, sample_weight=np.full(len(y), 1e200))


def test_outputs_of_squared_error_where_a_class_has_no_weight():
    X, y = small("multiclass")
    model = ConvexBNClassifier(loss="squared_error", beta=0.1, random_state=0)
    F = model.fit(X, y, sample_weight=np.where(y == 1, 0.0, 1.0)).decision_function(X)
    np.testing.assert_allclose(F[:, [0, 2]].sum(axis=1), 1.0)


def test_rare_classes_have_true_bounds():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((150, 3))
    y = (np.abs(X[:, 0]) > 0.9).astype(int)
    for common in (0, 1):
        model = ConvexBNClassifier(tol=1e-5, random_state=0)
        model.fit(X, y, sample_weight=np.where(y == common, 1.0, 1e-10))
        assert 0 < model.dual_gap_ <= 1e-5 * model.zero_loss_
