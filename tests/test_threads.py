"""Threads inside jobs: limited while a job runs, and as before afterwards."""

import multiprocessing
import os
import re
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes
from threadpoolctl import threadpool_info

from skconvexbn import (
    ConvexBNRegressor,
    ConvexBNRegressorCV,
)
from skconvexbn.model_selection.candidates import Job, fit_path, score_paths
from skconvexbn.solvers.adaptive import solve_adaptive
from skconvexbn.task import Task
from skconvexbn.threads import _Limits, one_blas_thread, one_thread
from skconvexbn.whitening import Whitening

# Set where BLAS has two threads.
TWO = "SKCONVEXBN_TWO_BLAS_THREADS"


def thread_settings():
    blas = [i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"]
    return torch.get_num_threads(), blas


@pytest.fixture(name="two_threads")
def _two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def in_a_new_thread(function, *args):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result()


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_thread_settings_are_as_before(backend, two_threads):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 30)), rng.standard_normal(20)
    before = thread_settings()
    inside = []

    def scoring(model, X, y):
        inside.append(thread_settings())
        return model.score(X, y)

    search = ConvexBNRegressorCV(shrinkages=(0.0,), scoring=scoring)
    with joblib.parallel_config(backend=backend, n_jobs=2):
        search.fit(X, y)
    assert thread_settings() == before
    assert backend == "loky" or set(map(str, inside)) == {str((1, [1] * len(before[1])))}


def test_jobs_of_a_search_run_on_one_thread_wherever_they_run(two_threads, monkeypatch):
    X, y = load_diabetes(return_X_y=True)
    model, betas, inside = ConvexBNRegressor(rank=1, random_state=0), np.array([100.0]), []
    training = model._training(*model._validate(X, y, None))
    one = str((1, [1] * len(thread_settings()[1])))

    def recorded(task, *args, **kwargs):
        inside.append(str(thread_settings()))
        return solve(task, *args, **kwargs)

    solve = Task.solve
    monkeypatch.setattr(Task, "solve", recorded)
    job = Job([model], training, X, y, {}, None)
    score_paths(job, 0, betas, lambda *_: 0.0, [None], np.array([True]))
    fit_path(model, training, 0, betas, np.ones(1))
    assert inside == [one, one]


def test_the_folds_of_a_search_are_whitened_on_one_thread(two_threads, monkeypatch):
    X, y = load_diabetes(return_X_y=True)
    inside, fit = [], Whitening.fit

    def recorded(*args, **kwargs):
        inside.append(torch.get_num_threads())
        return fit(*args, **kwargs)

    monkeypatch.setattr(Whitening, "fit", recorded)
    ConvexBNRegressorCV(betas=[100.0], ranks=(1,), shrinkages=(0.0,), cv=2).fit(X, y)
    assert inside == [2, 1, 1]


def test_limits_last_until_the_last_job_leaves(two_threads):
    before = thread_settings()
    assert TWO not in os.environ or max(before[1]) == 2
    one = [1] * len(before[1])
    inside, leave, settings = threading.Event(), threading.Event(), []

    def job():
        with one_thread():
            inside.set()
            leave.wait()
            settings.append(thread_settings())

    other = threading.Thread(target=job)
    with one_thread():
        other.start()
        inside.wait()
        assert thread_settings() == (1, one)
    assert thread_settings() == (2, one)  # torch's number is this thread's own
    leave.set()
    other.join()
    assert settings == [(1, one)]
    assert thread_settings() == before
    fresh = threading.Thread(target=lambda: settings.append(thread_settings()))
    fresh.start()
    fresh.join()
    assert settings[-1] == before


def test_a_thread_that_is_new_while_others_are_limited_gets_its_number_back(two_threads):
    inside, leave, settings = threading.Event(), threading.Event(), []

    def job():
        with one_thread():
            with one_thread():
                pass
            settings.append(torch.get_num_threads())
        inside.set()
        leave.wait(60)
        settings.append(torch.get_num_threads())

    other = threading.Thread(target=job)
    with one_thread():
        other.start()
        inside.wait(60)
    leave.set()
    other.join(60)
    assert settings == [1, 2]


@pytest.mark.parametrize("at", [1, 2])
def test_an_interrupt_on_the_way_in_leaves_no_limit(at, two_threads, monkeypatch):
    class InterruptedLock:
        lock, exits = threading.Lock(), 0

        def __enter__(self):
            self.lock.acquire()

        def __exit__(self, *_):
            self.lock.release()
            self.exits += 1
            if self.exits == at:
                raise KeyboardInterrupt

    before = thread_settings()
    monkeypatch.setattr(_Limits, "lock", InterruptedLock())
    with pytest.raises(KeyboardInterrupt), one_thread():
        pytest.fail("not reached")
    assert thread_settings() == before
    assert in_a_new_thread(thread_settings) == before
    assert (_Limits.blas_jobs, _Limits.torch_jobs) == (0, 0)


def test_an_interrupt_as_the_last_job_leaves_is_made_up_for_by_the_next(two_threads, monkeypatch):
    before, end = thread_settings(), _Limits.end_holder

    def interrupted():
        monkeypatch.setattr(_Limits, "end_holder", end)
        raise KeyboardInterrupt

    monkeypatch.setattr(_Limits, "end_holder", interrupted)
    with pytest.raises(KeyboardInterrupt), one_thread():
        pass
    left_behind = _Limits.holder
    assert left_behind.is_alive()
    with one_thread():
        assert not left_behind.is_alive()
    assert not _Limits.holder.is_alive()
    assert thread_settings() == before


def test_an_error_on_the_way_in_reaches_the_caller(two_threads, monkeypatch):
    """Of a version of torch that has other names for its settings."""
    before = thread_settings()
    monkeypatch.setattr(torch.backends, "mkldnn", object())
    with pytest.raises(AttributeError, match="matmul"), one_thread():
        pytest.fail("not reached")
    assert thread_settings() == before


def test_what_other_threads_set_is_not_made_ones_own(two_threads):
    in_a_new_thread(torch.set_num_threads, 1)  # for new threads too
    with one_thread():
        pass
    assert torch.get_num_threads() == 2


def test_new_threads_get_the_number_they_got_before(two_threads):
    in_a_new_thread(torch.set_num_threads, 3)
    with one_thread():
        pass
    assert torch.get_num_threads() == 2
    assert in_a_new_thread(torch.get_num_threads) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot fork here")
def test_a_process_forked_while_limits_are_held_sets_its_own(two_threads):
    """The thread that holds those of its parent is not there: nor must the lock be taken there."""
    context, results = multiprocessing.get_context("fork"), multiprocessing.SimpleQueue()

    def child():
        with one_blas_thread():
            results.put(thread_settings()[1])

    with one_blas_thread(), _Limits.lock:
        process = context.Process(target=child)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
            process.start()
    process.join(60)
    assert process.exitcode == 0
    assert set(results.get()) == {1}


@pytest.mark.parametrize("precision", ["medium", "high"])
def test_products_of_float32_are_not_rounded_to_less(precision):
    products = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        settings = [product.fp32_precision for product in products]
        with one_blas_thread(), one_thread():
            assert [product.fp32_precision for product in products] == ["ieee", "ieee"]
        assert [product.fp32_precision for product in products] == settings
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision(before)


def test_limits_of_blas_alone_leave_the_threads_of_torch(two_threads):
    before = thread_settings()
    assert TWO not in os.environ or max(before[1]) == 2
    one = [1] * len(before[1])
    with one_blas_thread():
        assert thread_settings() == (2, one)
        with one_thread():
            assert thread_settings() == (1, one)
        assert thread_settings() == (2, one)
    assert thread_settings() == before


@pytest.mark.parametrize(("most", "n_threads"), [(10_000, 1), (100, 2)])
def test_small_fits_run_on_one_thread_large_ones_on_those_of_torch(
    two_threads, monkeypatch, most, n_threads
):
    settings, solve = [], solve_adaptive

    def recorded(*args):
        settings.append(thread_settings())
        return solve(*args)

    monkeypatch.setattr("skconvexbn.solvers.torch.solve_adaptive", recorded)
    monkeypatch.setattr("skconvexbn.solvers.torch.MAX_ONE_THREAD", most)
    X, y = load_diabetes(return_X_y=True)
    before = thread_settings()
    ConvexBNRegressor(beta=100.0, backend="torch", tol=0.1).fit(X[:90, 2:6], y[:90])
    assert settings == [(n_threads, [1] * len(before[1]))]
    assert thread_settings() == before


@pytest.mark.skipif(TWO in os.environ, reason="this is the subprocess that the test starts")
def test_limits_of_blas_where_it_has_two_threads():
    """Workers of the tests have one, which limits would not change."""
    env = {name: value for name, value in os.environ.items() if "XDIST" not in name}
    two = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", TWO), "2")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    command += ["-k", "limits_last_until"]
    done = subprocess.run(command, env=env | two, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^1 passed", done.stdout, flags=re.M), done.stdout
