"""Verbose fits and searches print lines or show a bar; the diagram has the certificate."""

import pickle
import re
import sys
from io import StringIO

import numpy as np
import pytest
from drawn_fits import FITS, OUTPUTS, X, Y
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_html_repr

from skconvexbn import ConvexBNRegressor, ConvexBNRegressorCV, progress


@pytest.mark.parametrize("name", [name for name in FITS if name != "search"])
def test_verbose_prints_a_line_a_round(fits, name, capsys, caplog):
    model = fits[name].__class__(**fits[name].get_params())
    model.fit(X, OUTPUTS.get(name, Y))
    assert capsys.readouterr() == ("", "")
    model.set_params(verbose=1).fit(X, OUTPUTS.get(name, Y))
    printed = capsys.readouterr()
    first, *lines = printed.out.splitlines()
    assert first.startswith(f"[{type(model).__name__}] backend {model.backend_}, beta 0.")
    assert len(lines) == len(model.history_)
    for line, (seconds, primal, dual) in zip(lines[:-1], model.history_, strict=False):
        gap = (primal - dual) / model.zero_loss_
        start = f": {seconds:.2f} s, objective {primal:.8g}, bound {dual:.8g}, gap {gap:.2e}, "
        assert start in line
    last = dict(part.split()[:2] for part in lines[-1].partition(" s, ")[2].split(", "))
    assert float(last["objective"]) == pytest.approx(model.objective_, rel=1e-2)  # before merging
    assert float(last["gap"]) <= model.tol
    assert printed.err == ""
    assert not caplog.records


class Terminal(StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("backend", ["auto", "closed_form"])
def test_a_bar_on_a_terminal(backend, monkeypatch, capsys):
    pytest.importorskip("tqdm", reason="the extra test is not installed")
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    rows = 3 if backend == "closed_form" else len(X)
    model = ConvexBNRegressor(verbose=2, tol=1e-2, backend=backend, random_state=0)
    model.fit(X[:rows], Y[:rows])
    assert len(capsys.readouterr().out.splitlines()) == 1
    shown = screen.getvalue()
    if backend == "closed_form":
        assert not shown
    else:
        last = shown.split("\r")[-1]
        assert last.startswith("ConvexBNRegressor: 100%|")
        assert re.search(r", gap \d\.\de-0\d of 0\.01, \d+ neurons\n$", last)


def test_lines_where_no_bar_can_be_shown(monkeypatch, capsys):
    model = ConvexBNRegressor(verbose=2, rank=1).fit(X, Y)
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(model.history_)
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    model.fit(X, Y)
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(model.history_)


def test_one_is_verbose_in_lines_on_a_terminal_too(monkeypatch, capsys):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    model = ConvexBNRegressor(verbose=1, rank=1).fit(X, Y)
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(model.history_)
    assert not screen.getvalue()


@pytest.mark.parametrize(
    ("gap", "tol", "expected"),
    [
        (1.0, 1e-3, 0.0),
        (0.1, 1e-2, 0.5),
        (1e-2, 1e-2, 1.0),
        (0.0, 1e-9, 1.0),
        (1e-3, 1e-9, 1 / 3),
        (np.inf, 1e-3, 0.0),
        (0.5, 2.0, 1.0),
        (-1e-16, 1e-9, 1.0),
    ],
)
def test_the_bar_is_logarithmic(gap, tol, expected):
    assert progress.done(gap, tol) == pytest.approx(expected)


def test_searches_print_a_line_a_fold_and_grid_point(capsys):
    search = ConvexBNRegressorCV(
        betas=[1.0, 0.1], shrinkages=(0.0, 1.0), cv=2, verbose=1, tol=1e-2, random_state=0
    )
    search.fit(X, Y)
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert len(lines) == 5
    assert lines[4].startswith(
        f"[ConvexBNRegressorCV] best score {search.best_score_:.4g} at {{'beta"
    )
    scores = search.cv_results_["split1_test_score"][2:]
    best = search.cv_results_["param_beta"][2 + scores.argmax()]
    assert lines[3].startswith(
        "[ConvexBNRegressorCV] fold 2 of 2, rank None, shrinkage 1: best score "
        f"{scores.max():.4g} at beta {best:.4g}, "
    )
    assert printed.err == ""
    search.set_params(verbose=2).fit(X, Y)
    printed = capsys.readouterr().out
    assert "round 1: " in printed
    fits = 8 + 1  # of the search, and the final one
    assert printed.count("[ConvexBNRegressor] backend ") == fits


@pytest.mark.filterwarnings("ignore:.*are NaN")
def test_a_score_that_is_nan_is_not_printed_as_the_best(capsys):
    search = ConvexBNRegressorCV(
        betas=[2.0, 1.0],
        ranks=(1,),
        shrinkages=(0.0,),
        cv=2,
        verbose=1,
        scoring=lambda model, X, y: np.nan if model.beta == 2 else 0.5,
    )
    search.fit(X, Y)
    assert capsys.readouterr().out.count("best score 0.5 at beta 1, ") == 2


@pytest.mark.parametrize("name", ["exact", "classes", "search"])
def test_the_diagram_has_the_certificate_after_fit(fits, name):
    model = fits[name]
    gap = model.dual_gap_ / model.zero_loss_
    caption = (
        f"{model.backend_}, {model.n_neurons_} neurons, relative gap {gap:.1e} "
        f"({model.certificate_})"
    )
    for diagram in (model._repr_html_(), estimator_html_repr(make_pipeline(Ridge(), model))):
        assert f'<div class="caption">{caption}</div>' in diagram
    unfitted = type(model)()
    assert 'class="caption"' not in unfitted._repr_html_()
    assert repr(model) == repr(type(model)(**model.get_params()))


def test_the_diagram_is_escaped_and_otherwise_the_usual_one(fits, monkeypatch):
    model = pickle.loads(pickle.dumps(fits["exact"]))
    model.backend_ = "<b>"
    assert "&lt;b&gt;, " in model._repr_html_()
    assert "<b>, " not in model._repr_html_()
    unfitted = ConvexBNRegressor(beta=0.5)
    ours = unfitted._repr_html_()
    monkeypatch.delattr("skconvexbn.base.ConvexBNBase._sk_visual_block_")
    usual = unfitted._repr_html_()
    assert strip_ids(ours) == strip_ids(usual)


def strip_ids(diagram):
    return re.sub(r"sk-(container|estimator)-id-\d+", "", diagram)
