"""Metadata routing: weights and groups reach the fits, scorers and splitters that ask for them."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.metrics import get_scorer, make_scorer, mean_absolute_error
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_score
from small_problems import small
from small_searches import SMALL

from skconvexbn import ConvexBNRegressor, ConvexBNRegressorCV


def test_a_function_gets_weights_with_metadata_routing_too(data):
    def scoring(model, X, y, sample_weight=None):
        return -np.average(np.square(model.predict(X) - y), weights=sample_weight)

    X, y, w, _ = data
    search = ConvexBNRegressorCV(**SMALL, scoring=scoring)
    score = search.fit(X, y, sample_weight=w).best_score_
    with config_context(enable_metadata_routing=True):
        assert search.fit(X, y, sample_weight=w).best_score_ == score
    assert search.fit(X, y).best_score_ != score


def test_groups_are_routed_to_the_splitter(data):
    X, y, w, groups = data
    search = ConvexBNRegressorCV(**{**SMALL, "cv": GroupKFold(3)})
    with pytest.raises(ValueError, match="groups"):
        search.fit(X, y, groups=groups)
    with config_context(enable_metadata_routing=True):
        search.fit(X, y, sample_weight=w, groups=groups)
    folds = list(GroupKFold(3).split(X, y, groups))
    expected = ConvexBNRegressorCV(**{**SMALL, "cv": folds}).fit(X, y, sample_weight=w)
    np.testing.assert_array_equal(search.predict(X), expected.predict(X))


def test_a_generator_of_folds_is_there_still_after_routing(data):
    X, y, w, _ = data
    folds = KFold(3).split(X)
    with config_context(enable_metadata_routing=True):
        search = ConvexBNRegressorCV(**{**SMALL, "cv": folds}).set_fit_request(sample_weight=True)
        search.fit(X, y, sample_weight=w)
    expected = ConvexBNRegressorCV(**SMALL).fit(X, y, sample_weight=w)
    np.testing.assert_array_equal(search.predict(X), expected.predict(X))


def test_weights_are_routed_to_a_scorer_that_asks_for_them(data):
    X, y, w, _ = data
    scorer = make_scorer(mean_absolute_error, greater_is_better=False)
    with config_context(enable_metadata_routing=True):
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            ConvexBNRegressorCV(**SMALL, scoring=scorer).fit(X, y, sample_weight=w)
        scores = [
            ConvexBNRegressorCV(**SMALL, scoring=scorer.set_score_request(sample_weight=request))
            .fit(X, y, sample_weight=w)
            .best_score_
            for request in (True, False)
        ]
        nested = ConvexBNRegressorCV(**SMALL).set_fit_request(sample_weight=True)
        nested.set_score_request(sample_weight=True)
        cross_val_score(nested, X, y, cv=2, params={"sample_weight": w})
    assert scores[0] != scores[1]
    direct = ConvexBNRegressorCV(**SMALL, scoring=scorer).fit(X, y, sample_weight=w)
    assert direct.best_score_ == scores[0]


def test_folds_are_judged_by_the_weights_of_the_scorer(data):
    X, y, _, _ = data
    w = np.ones(len(y))
    w[: len(y) // 3] = 0.0
    with config_context(enable_metadata_routing=True):
        scorer = make_scorer(mean_absolute_error, greater_is_better=False)
        scorer.set_score_request(sample_weight="own")
        search = ConvexBNRegressorCV(**SMALL, scoring=scorer).set_fit_request(sample_weight=True)
        search.fit(X, y, sample_weight=w, own=np.ones(len(y)))
        with pytest.raises(ValueError, match="Test fold 1 of 3 has no sample of positive weight"):
            search.fit(X, y, own=w)


def test_weights_of_a_scorer_may_be_one_number(data):
    X, y, _, _ = data
    with config_context(enable_metadata_routing=True):
        scorer = get_scorer("r2").set_score_request(sample_weight="other")
        search = ConvexBNRegressorCV(**{**SMALL, "scoring": scorer})
        score = search.fit(X, y, other=2.0).best_score_
        assert search.fit(X, y, other=np.full(len(y), 2.0)).best_score_ == score


def test_metadata_routing_of_sample_weight():
    X, y = small("regression")
    w = np.random.default_rng(0).uniform(0, 2, 30)
    with config_context(enable_metadata_routing=True):
        model = ConvexBNRegressor(beta=0.1, random_state=0).set_fit_request(sample_weight=True)
        search = GridSearchCV(model.set_score_request(sample_weight=True), {"rank": [1, 2]}, cv=2)
        search.fit(X, y, sample_weight=w)
    direct = ConvexBNRegressor(beta=0.1, random_state=0, rank=search.best_params_["rank"])
    np.testing.assert_allclose(
        search.predict(X), direct.fit(X, y, sample_weight=w).predict(X), atol=1e-10
    )
