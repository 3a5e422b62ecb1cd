"""Jobs of a search: as many as asked for, with the same numbers on every backend of joblib."""

import threading

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from small_searches import SMALL

from skconvexbn import ConvexBNClassifierCV, ConvexBNRegressorCV


def test_jobs_are_as_many_as_asked_for(data):
    names = set()

    def scoring(model, X, y):
        names.add(threading.current_thread().name)
        return -model.beta

    search = ConvexBNRegressorCV(**SMALL, ranks=(1,), n_jobs=2, scoring=scoring)
    with joblib.parallel_config(backend="threading"):
        search.fit(*data[:2])
        assert "MainThread" not in names
        search.set_params(n_jobs=None).fit(*data[:2])
    assert "MainThread" in names


@pytest.mark.parametrize("kind", ["regressor", "classifier"])
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_jobs_give_the_same_numbers(data, backend, kind):
    X, y, w, _ = data
    search = ConvexBNRegressorCV(**SMALL, average=True)
    if kind == "classifier":
        search, y = ConvexBNClassifierCV(**SMALL), np.digitize(y, [-0.5, 0.5])
    alone = clone(search).fit(X, y, sample_weight=w)
    with joblib.parallel_config(backend=backend, n_jobs=2):
        together = clone(search).fit(X, y, sample_weight=w)
    assert_same(alone, together, X)


def assert_same(a, b, X):
    np.testing.assert_array_equal(
        a.cv_results_["mean_test_score"], b.cv_results_["mean_test_score"]
    )
    assert a.best_params_ == b.best_params_
    np.testing.assert_array_equal(a.predict(X), b.predict(X))


def test_on_a_dask_cluster(data):
    distributed = pytest.importorskip("dask.distributed")
    X, y, w, _ = data
    alone = ConvexBNRegressorCV(**SMALL).fit(X, y, sample_weight=w)
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        together = ConvexBNRegressorCV(**SMALL).fit(X, y, sample_weight=w)
    assert_same(alone, together, X)
