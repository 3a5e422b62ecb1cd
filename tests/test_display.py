"""What the displays share: the fits that they take, their styles and their refusals."""

import pickle
import sys

import numpy as np
import pytest
from drawn_fits import LABELS, X
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skconvexbn import (
    ConvergenceDisplay,
    ConvexBNClassifier,
    ConvexBNClassifierCV,
    ConvexBNRegressor,
    NeuronsDisplay,
    RegularizationPathDisplay,
)

plt = pytest.importorskip("matplotlib.pyplot")


def test_displays_go_by_the_parameters_of_the_fit():
    search = ConvexBNClassifierCV(betas=[1.0], shrinkages=(0.0,), cv=2, tol=1e-2, random_state=0)
    search.fit(X[:, :1], LABELS).set_params(scoring="accuracy", loss="squared_error", tol=0.5)
    search = pickle.loads(pickle.dumps(search))
    display = RegularizationPathDisplay.from_estimator(search)
    assert display.ax_.get_ylabel() == "negative log loss"
    assert ConvergenceDisplay.from_estimator(search, kind="gap").level_.get_ydata()[0] == 1e-2


DISPLAYS = [
    (ConvergenceDisplay, ConvexBNRegressor, ()),
    (RegularizationPathDisplay, ConvexBNClassifierCV, ()),
    (NeuronsDisplay, ConvexBNClassifier, (X,)),
]


@pytest.mark.parametrize(("display", "estimator", "args"), DISPLAYS)
def test_displays_need_fitted_estimators_of_the_package_and_matplotlib(
    display, estimator, args, monkeypatch
):
    with pytest.raises(NotFittedError):
        display.from_estimator(estimator(), *args)
    pipeline = make_pipeline(StandardScaler(), Ridge())
    with pytest.raises(TypeError, match=r"got Pipeline; of a pipeline pass the last step\."):
        display.from_estimator(pipeline, *args)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=f"{display.__name__}.from_estimator requires matplotlib"):
        display.from_estimator(estimator(), *args)


def test_styles_may_have_the_other_names_of_their_arguments(fits, path):
    lines = ConvergenceDisplay.from_estimator(
        fits["adaptive"],
        line_kw={"linestyle": ":", "ds": "default"},
        fill_between_kw={"linewidth": 2},
    )
    assert {line.get_linestyle() for line in lines.lines_} == {":"}
    assert {line.get_drawstyle() for line in lines.lines_} == {"default"}
    assert lines.band_.get_linewidth() == 2
    drawn = RegularizationPathDisplay.from_path(
        path, line_kw={"markersize": 2}, fill_between_kw={"lw": 3, "label": "band"}
    )
    assert drawn.lines_[0].get_markersize() == 2
    assert drawn.bands_[0].get_linewidth() == 3
    assert drawn.bands_[0].get_label() == "band"


def test_what_cannot_be_drawn_is_said():
    with pytest.raises(ValueError, match="There is nothing to plot"):
        RegularizationPathDisplay(beta=[1.0], rank=[1], shrinkage=[0.0]).plot()
    with pytest.raises(ValueError, match="ax must be 1 Matplotlib axes here, got array"):
        ConvergenceDisplay(
            history=np.ones((1, 3)), dual_objective=1, zero_loss=1, tol=1, certificate="search"
        ).plot(ax=plt.subplots(2)[1])
