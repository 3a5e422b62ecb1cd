"""One thread for the linear algebra of this process, while several jobs may run in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from threadpoolctl import threadpool_limits


class _Limits:
    """The settings to restore, and how many jobs still want one thread."""

    lock = Lock()
    jobs = 0
    blas: threadpool_limits
    torch: int


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit BLAS and torch to one thread; the settings found return when the last job leaves.

    Jobs may be processes, or threads of one process, where these settings are global: the first
    job to enter saves them and the last to leave restores them.
    """
    import torch

    with _Limits.lock:
        if not _Limits.jobs:
            _Limits.blas, _Limits.torch = threadpool_limits(1, "blas"), torch.get_num_threads()
        _Limits.jobs += 1
        torch.set_num_threads(1)  # in every thread: OpenMP keeps the number by thread
    try:
        yield
    finally:
        with _Limits.lock:
            _Limits.jobs -= 1
            if not _Limits.jobs:
                _Limits.blas.restore_original_limits()
                torch.set_num_threads(_Limits.torch)
