"""One thread for the linear algebra of a job, whether jobs are processes or threads of one."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


@cache
def _libraries() -> ThreadpoolController:
    """The libraries that are loaded: to look for them takes several milliseconds."""
    return ThreadpoolController()


class _Limits:
    """Settings that are global to the process: kept while any job needs them, then restored.

    A thread of their own holds them, since the job that enters first may leave before others, and
    only the thread that set the limit of BLAS may lift it.
    """

    lock = threading.Lock()
    blas_jobs = torch_jobs = 0
    holder: threading.Thread | None = None
    left: threading.Event
    torch: int
    here = threading.local()  # whether this thread has the limit of torch already

    @classmethod
    def hold(
        cls, before: list[tuple[Any, str]], entered: threading.Event, left: threading.Event
    ) -> None:
        import torch

        cls.torch = torch.get_num_threads()
        try:
            for product, _ in before:
                product.fp32_precision = "ieee"
            with _libraries().limit(limits=1, user_api="blas"):
                entered.set()
                left.wait()
        finally:
            for product, precision in before:
                product.fp32_precision = precision
            torch.set_num_threads(cls.torch)  # for new threads, as before: this one ends
            entered.set()

    @classmethod
    def start_holder(cls) -> None:
        """Return when the settings are held, or not at all after an interrupt."""
        import torch

        if cls.holder is not None and cls.holder.is_alive():  # an interrupt as the last job left
            cls.end_holder()
        on_cpu: Any = torch.backends.mkldnn
        products = torch.backends.cuda.matmul, on_cpu.matmul
        before = [(product, product.fp32_precision) for product in products]
        entered, cls.left = threading.Event(), threading.Event()
        args = before, entered, cls.left
        cls.holder = holder = threading.Thread(target=cls.hold, args=args, daemon=True)
        try:
            holder.start()
            entered.wait()
        except BaseException:
            cls.left.set()
            if holder.ident is not None:
                holder.join()
            raise

    @classmethod
    def end_holder(cls) -> None:
        """Lift the settings; an interrupt here leaves that to the next job."""
        cls.left.set()
        if cls.holder is not None:
            cls.holder.join()


def _forget() -> None:
    """In a forked process, which has no other thread: those of its parent hold nothing here."""
    _Limits.lock = threading.Lock()
    _Limits.blas_jobs = _Limits.torch_jobs = 0
    _Limits.holder = None
    _Limits.here = threading.local()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS, but not torch, to one thread until the last job that runs here leaves.

    Threads of both would wait for one another. Meanwhile float32 is not rounded to less in torch's
    products, whatever ``torch.set_float32_matmul_precision`` says: searches would miss maxima.
    """
    counted = False  # not yet, if an interrupt comes here
    try:
        with _Limits.lock:
            if not _Limits.blas_jobs:
                _Limits.start_holder()
            _Limits.blas_jobs += 1
            counted = True
        yield
    finally:
        if counted:
            with _Limits.lock:
                _Limits.blas_jobs -= 1
                if not _Limits.blas_jobs:
                    _Limits.end_holder()


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit BLAS to one thread until the last job that runs in this process leaves, and torch here.

    Torch keeps a number for each thread that has used it, and the last one set for new threads:
    every job gives its thread its own number back. One that has 1 while other jobs have set it is
    taken for a new thread, and gets the number of new threads from before.
    """
    import torch

    with one_blas_thread():
        if getattr(_Limits.here, "limited", False):
            yield
            return
        own = None  # not yet, if an interrupt comes here
        try:
            with _Limits.lock:
                before = torch.get_num_threads()
                if _Limits.torch_jobs and before == 1:
                    before = _Limits.torch
                _Limits.torch_jobs += 1
                own = before
                torch.set_num_threads(1)
            _Limits.here.limited = True
            yield
        finally:
            _Limits.here.limited = False
            if own is not None:
                with _Limits.lock:
                    _Limits.torch_jobs -= 1
                    torch.set_num_threads(own)
