"""Kinds of input: data frames, words, dates, single precision, and what is refused."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_array
from small_problems import small

from skconvexbn import ConvexBNClassifier, ConvexBNRegressor, ConvexBNRegressorCV, convex_bn_path


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_data_frames_and_feature_names(frame):
    X, y = small("regression")
    data = frame({"a": X[:, 0], "b": X[:, 1]})
    model = ConvexBNRegressor(random_state=0).fit(data, y)
    assert list(model.feature_names_in_) == ["a", "b"]
    np.testing.assert_allclose(
        model.predict(data), ConvexBNRegressor(random_state=0).fit(X, y).predict(X)
    )
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame({"b": X[:, 1], "a": X[:, 0]}))


def test_bad_data():
    X, y = small("regression")
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        ConvexBNRegressor().fit(X[:1], y[:1])
    with pytest.raises(ValueError, match="contains NaN"):
        ConvexBNRegressor().fit(np.where(X > 1, np.nan, X), y)
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        ConvexBNRegressor().fit(X, y, sample_weight=-np.ones(30))
    with pytest.raises(ValueError, match="at least one"):
        ConvexBNRegressor().fit(X, y, sample_weight=np.zeros(30))
    with pytest.raises(TypeError, match=r"y must be dense, got a sparse matrix; use y.toarray\(\)"):
        ConvexBNRegressor().fit(X, csr_array(y[:, None]))
    with pytest.raises(ValueError, match="too large: at most 200000 are allowed"):
        ConvexBNRegressor(arrangements="exact").fit(
            np.random.default_rng(0).random((80, 9)), np.arange(80)
        )


@pytest.mark.parametrize(
    "y", [["a", "b"] * 15, pd.Series(["1", 1.0, "a"] * 10), [[None], ["a"]] * 15]
)
def test_words_are_no_targets_of_a_regressor(y):
    X, _ = small("regression")
    with pytest.raises(ValueError, match=r"y has .*'a'.*, which is no number.*ConvexBNClassifier"):
        convex_bn_path(X, y)


def test_numbers_in_words_are_numbers_whatever_holds_them():
    X, y = small("regression")
    words = [str(value) for value in y.astype(np.float32)]
    model = ConvexBNRegressor(rank=1, random_state=0)
    expected = model.fit(X, np.array(words, dtype=float)).predict(X)
    for dtype in (None, object, np.dtypes.StringDType()):
        predicted = model.fit(X, np.array(words, dtype=dtype)).predict(X)
        np.testing.assert_allclose(predicted, expected, atol=1e-4)
    with pytest.raises(ValueError, match=r"y has 'a', which is no number; for class labels"):
        ConvexBNRegressor().fit(X, np.array(["1", "a"] * 15, dtype=np.dtypes.StringDType()))


@pytest.mark.parametrize(
    "y", [pd.Series([None, True, False] * 10, dtype="boolean"), np.full(30, None), [1.0, None] * 15]
)
def test_missing_targets_are_not_taken_for_words(y):
    X, _ = small("regression")
    with pytest.raises(ValueError, match="contains NaN"):
        ConvexBNRegressor().fit(X, y)


DAYS = np.arange("2020-01-01", "2020-01-31", dtype="datetime64[D]").astype("datetime64[ms]")


@pytest.mark.parametrize("times", [DAYS, DAYS - DAYS[0]], ids=["dates", "durations"])
@pytest.mark.parametrize(
    "kind",
    [pd.Series, pl.Series, np.array, list, lambda t: pd.Series(t, dtype=object), pd.Categorical],
)
def test_dates_and_durations_are_refused(kind, times):
    X, y = small("regression")
    column = kind(times)
    with pytest.raises(TypeError, match=r"y has values of type .*, which are no numbers"):
        ConvexBNRegressor().fit(X, column)
    frame = pl.DataFrame if kind is pl.Series else pd.DataFrame
    for table in (frame({"time": column}), frame({"number": y, "time": column})):
        with pytest.raises(TypeError, match=r"X has values of type .*, which are no numbers"):
            ConvexBNRegressorCV().fit(table, y)
    with pytest.raises(TypeError, match=r"X has values of type .*, which are no numbers"):
        ConvexBNRegressor(rank=1).fit(y[:, None], y).predict(np.asarray(times)[:, None])
    with pytest.raises(TypeError, match=r"sample_weight has values of type .*, which are no"):
        ConvexBNRegressor().fit(X, y, sample_weight=column)


@pytest.mark.parametrize("when", [pd.PeriodIndex(DAYS, freq="D"), pd.DatetimeIndex(DAYS).time])
def test_periods_and_times_of_day_are_refused(when):
    _, y = small("regression")
    for column in (when, pd.Series(when, dtype=object)):
        table = pd.DataFrame({"number": y, "when": column})
        with pytest.raises(TypeError, match=r"X has values of type .*, which are no numbers"):
            ConvexBNRegressor().fit(table, y)
        with pytest.raises(TypeError, match=r"y has values of type .*, which are no numbers"):
            ConvexBNRegressor().fit(y[:, None], column)


def test_dates_may_be_labels():
    X, _ = small("regression")
    model = ConvexBNClassifier(rank=1).fit(X, np.repeat(DAYS[:2], 15))
    np.testing.assert_array_equal(model.classes_, DAYS[:2])


def test_read_only_and_single_precision_input():
    X, y = small("regression")
    X32 = X.astype(np.float32)
    X32.setflags(write=False)
    y.setflags(write=False)
    model = ConvexBNRegressor(random_state=0).fit(X32, y)
    assert model.predict(X32).dtype == np.float64
    np.testing.assert_allclose(
        model.predict(X), ConvexBNRegressor(random_state=0).fit(X, y).predict(X), atol=1e-3
    )


def test_rounding_of_single_precision_is_no_direction_of_a_fit():
    X = np.random.default_rng(0).standard_normal((50, 3))
    X = np.column_stack([X, X.sum(axis=1)]).astype(np.float32)
    assert ConvexBNRegressor(beta=1.0).fit(X, X[:, 0]).rank_ == 3
