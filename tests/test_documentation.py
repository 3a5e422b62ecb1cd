"""Docstrings follow numpydoc; Python in the docs runs; code and messages they name exist."""

import ast
import pkgutil
import re
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from types import ModuleType

import pytest
from numpydoc.validate import validate

import skconvexbn
from skconvexbn import base
from skconvexbn.model_selection import path as path_module

ROOT = Path(__file__).parents[1]
PUBLIC = [
    "skconvexbn.ConvexBNRegressor",
    "skconvexbn.ConvexBNClassifier",
    "skconvexbn.ConvexBNRegressorCV",
    "skconvexbn.ConvexBNClassifierCV",
    "skconvexbn.convex_bn_path",
    "skconvexbn.ConvexBNRegressorCV.fit",
    "skconvexbn.ConvexBNRegressorCV.get_metadata_routing",
    "skconvexbn.ConvexBNRegressor.to_torch",
    *(f"skconvexbn.ConvexBN{name}.to_sklearn_mlp" for name in ("Regressor", "Classifier")),
    *(
        f"skconvexbn.{name}Display{method}"
        for name in ("Convergence", "Neurons", "RegularizationPath")
        for method in ("", ".from_estimator", ".plot")
    ),
    "skconvexbn.RegularizationPathDisplay.from_path",
    *(f"skconvexbn.ConvexBNRegressor.{name}" for name in ("fit", "predict")),
    *(
        f"skconvexbn.ConvexBNClassifier.{name}"
        for name in ("fit", "predict", "predict_proba", "predict_log_proba", "decision_function")
    ),
]
# Summary may be a noun phrase; methods need neither extended summary, notes nor examples.
IGNORED = {"GL01", "GL08", "SS03", "SS05", "ES01", "SA01", "SA04", "EX01", "RT03", "PR02"}


@pytest.mark.parametrize("name", PUBLIC)
def test_docstrings(name):
    errors = [error for error in validate(name)["errors"] if error[0] not in IGNORED]
    assert not errors


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("ConvexBNRegressor", {"beta": 0.1}),
        ("ConvexBNClassifier", {"beta": 0.1}),
        ("ConvexBNRegressorCV", {"betas": [0.1], "shrinkages": (0.0,), "cv": 2}),
        ("ConvexBNClassifierCV", {"betas": [0.1], "shrinkages": (0.0,), "cv": 2}),
    ],
)
def test_every_parameter_and_attribute_is_documented_with_its_default(name, params):
    import numpy as np

    estimator = getattr(import_module("skconvexbn"), name)
    doc = estimator.__doc__
    for parameter, default in estimator().get_params().items():
        shown = f'"{default}"' if isinstance(default, str) else str(default)
        line = re.search(rf"^    {parameter} : .*", doc, flags=re.M)
        assert line, parameter
        documented = line[0].rsplit("default=", 1)[1]
        assert documented == shown or float(documented) == default, (parameter, documented)
    X = np.random.default_rng(0).standard_normal((8, 2))
    fitted = estimator(**params).fit(X, np.arange(8) % 2)
    for attribute in vars(fitted):
        if attribute.endswith("_"):
            assert re.search(rf"\b{attribute}\b", doc), attribute


@pytest.mark.parametrize("name", PUBLIC[:4])
def test_devices_are_documented_as_they_are(name):
    from skconvexbn.solvers.torch import MAX_ONE_THREAD, MIN_CUDA_SIZE

    text = getattr(import_module("skconvexbn"), name.split(".")[1]).__doc__
    device = " ".join(text.split("    device : ")[1].split("    tol : ")[0].split())
    assert all(f'"{kind}"' in device for kind in ("cpu", "cuda", "cuda:<index>", "mps"))
    if not name.endswith("CV"):
        assert f"{MIN_CUDA_SIZE:.0e}".replace("+0", "") in device
        assert f"{MAX_ONE_THREAD:,}" in device


PAGES = [
    "README.md",
    *(
        f"docs/{page}.md"
        for page in (
            "index",
            "distributed",
            "installation",
            "quick_start",
            "user_guide",
            "exports",
            "contributing",
        )
    ),
]


@pytest.mark.parametrize("file", PAGES)
def test_python_in_the_docs_runs(file, capsys):
    """Block after block in one namespace; a block of text right after one is its output."""
    blocks = re.findall(
        r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", (ROOT / file).read_text(), flags=re.S
    )
    assert blocks
    namespace = {"__name__": "__main__"}
    for block, output in blocks:
        exec(compile(block, file, "exec"), namespace)
        printed = capsys.readouterr().out
        assert printed == output or not output


@pytest.mark.parametrize(
    "page", ["README.md", *(f"docs/{p.name}" for p in sorted((ROOT / "docs").glob("*.md")))]
)
def test_pages_link_to_what_exists(page):
    page = ROOT / page
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / link).exists(), link


def test_the_reference_has_every_public_name():
    page = (ROOT / "docs" / "api.md").read_text()
    for name in import_module("skconvexbn").__all__:
        assert re.search(rf"^   {name}$", page, flags=re.M), name


def test_troubleshooting_has_every_message():
    page = " ".join((ROOT / "docs" / "troubleshooting.md").read_text().split())
    page = page.replace("&lt;", "<").replace("&gt;", ">")
    for text in (*base.ADVICE.values(), *path_module.POINTS.values()):
        for piece in re.split(r"{.*?}|; ", text):
            assert piece.strip() in page, piece
    checked = 0
    for path in (ROOT / "skconvexbn").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            call = node.exc if isinstance(node, ast.Raise) else node
            if not isinstance(call, ast.Call) or not call.args:
                continue
            if node is call and ast.unparse(call.func) != "warnings.warn":
                continue
            literals = [part.value for part in ast.walk(call.args[0]) if is_text(part)]
            longest = max(literals, key=len).strip()
            if not longest and path.name == "path.py":  # its POINTS, joined
                continue
            assert len(longest) > 10, f"{path.name}: {longest}"
            for piece in longest.split("; "):
                assert piece in page, f"{path.name}: {piece}"
            checked += 1
    assert checked > 20


def is_text(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def test_theory_names_code_that_exists():
    names = re.findall(r"`((?:\w+\.)+\w+)`", (ROOT / "docs" / "theory.md").read_text())
    for name in names:
        target = import_module("skconvexbn")
        for part in name.split("."):
            if isinstance(target, ModuleType) and not hasattr(target, part):
                import_module(f"{target.__name__}.{part}")
            assert hasattr(target, part) or part in getattr(target, "__annotations__", {}), name
            target = getattr(target, part, target)
    assert len(names) > 50


def test_every_module_is_in_the_reference():
    listed = set((ROOT / "docs" / "api.md").read_text().split())
    public = {getattr(skconvexbn, name).__module__ for name in skconvexbn.__all__}
    public |= {"skconvexbn.display", "skconvexbn.model_selection"}  # which have these alone
    names = {m.name for m in pkgutil.walk_packages(skconvexbn.__path__, "skconvexbn.")} - public
    assert {name.removeprefix("skconvexbn.") for name in names} <= listed
    assert len(names) > 35


@pytest.mark.parametrize("folder", ["benchmarks", "docs/gallery"])
def test_scripts_import_what_exists(folder):
    """Benchmarks take minutes, and nothing else here runs them."""
    checked = 0
    for path in (ROOT / folder).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and (name := ast.unparse(node)).startswith(
                "skconvexbn."
            ):
                attrgetter(name.removeprefix("skconvexbn."))(skconvexbn)
            if isinstance(node, ast.ImportFrom) and node.module.startswith("skconvexbn"):
                module = import_module(node.module)
                for name in node.names:
                    if not hasattr(module, name.name):
                        import_module(f"{node.module}.{name.name}")
                    checked += 1
    assert checked > 10


def test_tables_of_measurements_are_those_of_the_results(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    measurements = import_module("measurements")
    page = (ROOT / "docs" / "measurements.md").read_text()
    assert page == measurements.with_tables(page)
    without = re.sub(r"\n(?:\|.*\n)+", "", page)
    assert "| --- |" not in without
    assert page == measurements.with_tables(without)
    with pytest.raises(ValueError, match=r"not the tables of this script: \['oracle'"):
        measurements.with_tables(page.replace("<!-- oracle -->", ""))


def test_statements_are_those_of_the_results(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    assert import_module("statements").missing() == []
