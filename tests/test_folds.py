"""Folds of a search: what may be one, what is refused, and classes and weights that one lacks."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import KFold
from small_searches import ROWS, SMALL

from skconvexbn import ConvexBNClassifier, ConvexBNClassifierCV, ConvexBNRegressorCV
from skconvexbn.model_selection.folds import as_fold


@pytest.mark.parametrize("kind", [tuple, list, np.array, lambda rows: rows])
def test_folds_may_be_any_sequences(data, kind):
    X, y, _, _ = data
    n = len(y)
    folds = [(range(n // 2), range(n // 2, n)), (range(n // 2, n), range(n // 2))]
    given = [tuple(map(kind, fold)) for fold in folds]
    model = ConvexBNRegressorCV(**{**SMALL, "cv": given}).fit(X, y)
    plain = ConvexBNRegressorCV(**{**SMALL, "cv": [tuple(map(list, f)) for f in folds]}).fit(X, y)
    assert model.best_score_ == plain.best_score_


def test_class_weights_of_zero_take_labels_out_of_all_folds():
    X, y = load_iris(return_X_y=True)
    model = ConvexBNClassifierCV(
        betas=[1.0], shrinkages=(0.0,), cv=3, random_state=0, class_weight={1: 0}
    )
    with pytest.warns(
        UserWarning, match=r"lack classes that their test folds have: \[1\]"
    ) as caught:
        model.fit(X, y)
    assert {w.filename for w in caught} == {__file__}


def test_labels_that_a_fold_lacks():
    X, y = load_iris(return_X_y=True)
    X, y = X[::5], y[::5].copy()
    y[0] = 7  # in one fold only
    model = ConvexBNClassifierCV(betas=[1.0], shrinkages=(0.0,), cv=3, random_state=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")
        with pytest.warns(UserWarning, match=r"lack classes that their test folds have: \[7\]"):
            model.fit(X, y)
    assert model.classes_.tolist() == [0, 1, 2, 7]
    assert np.isfinite(model.best_score_)
    with warnings.catch_warnings():  # nor does that class count in scores
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "The least populated class")
        model.fit(X, y, sample_weight=(y != 7) * 1.0)
    assert model.classes_.tolist() == [0, 1, 2, 7]
    folds = [(np.flatnonzero(y == 0), np.flatnonzero(y == 1))]
    with pytest.raises(ValueError, match="Training fold 1 of 1 has one class"):
        ConvexBNClassifierCV(cv=folds).fit(X, y)


def test_a_test_fold_without_weight_is_refused(data):
    X, y, _, _ = data
    weight = np.ones(len(y))
    weight[: len(y) // 2 + 1] = 0
    search = ConvexBNRegressorCV(betas=[1.0], cv=KFold(2))
    with pytest.raises(ValueError, match="Test fold 1 of 2 has no sample of positive weight"):
        search.fit(X, y, sample_weight=weight)


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ([(ROWS, ROWS), (ROWS[:50], ROWS[50:])], "Training fold 2 of 2 has one class"),
        ([(ROWS, ROWS[:0])], "Test fold 1 of 1 is empty"),
        ([(ROWS, [])], "Test fold 1 of 1 is empty"),
        ([([], ROWS)], "Training fold 1 of 1 has fewer than 2 samples"),
        ([(ROWS, ROWS + 1)], f"cv has index {len(ROWS)}, X has {len(ROWS)} samples; give"),
        ([(ROWS > 20, ROWS[:70] > 20)], r"cv has a mask of shape \(70,\), X has 90 samples; give"),
        ([(ROWS / 1.0, ROWS)], r"cv has a part of shape \(90,\) and type float64; give"),
        ([(ROWS, ROWS[:, None])], r"cv has a part of shape \(90, 1\) and type int64; give"),
        ([(ROWS[:1], ROWS[1:])], "Training fold 1 of 1 has fewer than 2 samples"),
        ([(ROWS[:5], ROWS[5:])], "Training fold 1 of 1 has no sample of positive weight"),
    ],
)
def test_folds_that_cannot_be_fitted_or_scored_are_named(data, folds, message):
    X, _, weight, _ = data
    with pytest.raises(ValueError, match=message):
        ConvexBNClassifierCV(cv=folds).fit(X, ROWS > 60, sample_weight=weight * (ROWS > 4))


@pytest.mark.parametrize("bad", [-25, 24])
def test_an_index_out_of_range_is_refused(bad):
    with pytest.raises(ValueError, match=f"cv has index {bad}, X has 24 samples"):
        as_fold(([0, bad], [1]), 24)
    assert as_fold(([-24, 23], [1]), 24)[0].tolist() == [-24, 23]
    assert as_fold((np.array([0, 23], dtype=np.uint8), [1]), 24)[0].tolist() == [0, 23]


def test_a_splitter_without_folds_is_refused(data):
    X, y, _, _ = data
    with pytest.raises(ValueError, match=r"cv=\[\] has no folds"):
        ConvexBNRegressorCV(cv=[]).fit(X, y)


def test_weights_of_a_class_that_a_fold_lacks():
    X, y = load_iris(return_X_y=True)
    order = np.argsort(y, kind="stable")
    half = np.flatnonzero(y[order] == 2)[0]
    folds = [(order[:half], order[half:])]
    weights = {0: 2.0, 2: 3.0}
    search = ConvexBNClassifierCV(
        betas=[1.0], shrinkages=(0.0,), cv=folds, class_weight=weights, random_state=0
    )
    with pytest.warns(UserWarning, match=r"lack classes that their test folds have: \[2\]"):
        search.fit(X, y)
    plain = ConvexBNClassifier(beta=1.0, class_weight=weights, random_state=0).fit(X, y)
    np.testing.assert_allclose(search.objective_, plain.objective_, rtol=0.02)
    with pytest.raises(ValueError, match="not in class_weight"):
        clone(search).set_params(class_weight={5: 1.0}).fit(X, y)


@pytest.mark.parametrize("item", [([0, 1, 2],), ([0, 1], [2], [3]), 5])
def test_folds_that_are_no_pairs_are_named(item):
    X, y = load_diabetes(return_X_y=True)
    with pytest.raises(
        ValueError, match=r"cv has .*, which is not two parts; give a list of pairs"
    ):
        ConvexBNRegressorCV(cv=[item], betas=[1.0]).fit(X, y)


def test_folds_of_next_to_no_weight_are_named():
    X = np.random.default_rng(0).standard_normal((60, 2))
    y = np.array(["a", "b"] * 30)
    weight = np.where(y == "b", 1e-40, 1.0)
    weight[:20] = 1
    search = ConvexBNClassifierCV(cv=[(np.arange(20, 60), np.arange(20))], betas=[1.0])
    with pytest.raises(ValueError, match="Training fold 1 of 1 has one class"):
        search.fit(X, y, weight)


def test_the_index_of_weights_does_not_matter(data):
    X, y, _, _ = data
    w = pd.Series(np.arange(90) < 45, index=np.arange(90)[::-1], dtype=float)
    search = ConvexBNRegressorCV(**{**SMALL, "cv": [(ROWS[20:], ROWS[:20])]}, ranks=(1,))
    scores = [search.fit(X, y, sample_weight=v).best_score_ for v in (w, w.to_numpy())]
    assert scores[0] == scores[1]
