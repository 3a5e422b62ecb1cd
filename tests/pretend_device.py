"""A device that is not there: the library's code for CUDA and Metal runs where neither is.

Tensors on the CPU say that they are on the device. They meet no tensors and arrays that are not,
become no arrays, have no float64 on Metal, and fit its memory, or fail as they would there. What
adds up in no fixed order there is refused: fits are reproducible on each device.
"""

from contextlib import ExitStack, contextmanager
from unittest import mock

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

CPU = torch.device("cpu")
PRESENT = {
    "cuda": {
        "torch.cuda.is_available": True,
        "torch.cuda.device_count": 1,
        "torch.cuda.current_device": 0,
    },
    "mps": {"torch.backends.mps.is_available": True},
}
# Those of `torch.use_deterministic_algorithms` that come near; not all have other implementations.
IN_ANY_ORDER = {"index_add", "scatter_add", "scatter_reduce", "cumsum", "bincount", "histc", "put"}


@contextmanager
def pretend_device(kind, memory=np.inf):
    """The device "cuda" or "mps", with room for tensors of so many bytes each."""
    with ExitStack() as stack:
        for name, value in PRESENT[kind].items():
            stack.enter_context(mock.patch(name, lambda value=value: value))
        yield stack.enter_context(_Pretence(kind, memory))


class _Pretence(TorchFunctionMode):
    def __init__(self, kind, memory):
        super().__init__()
        self.kind, self.memory, self.calls = kind, memory, 0
        self.here = torch.device(kind, 0)
        self.Here = type("Here", (torch.Tensor,), {"device": property(lambda _: self.here)})

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs, name = dict(kwargs or {}), getattr(func, "__name__", "")
        first = args[0] if args else None
        with torch._C.DisableTorchFunctionSubclass():
            if name == "cpu":
                return self.move(first, CPU)
            if name == "to" or (name == "as_tensor" and isinstance(first, torch.Tensor)):
                return self.move(first, *args[1:], *kwargs.values())
            if name in ("numpy", "__array__") and isinstance(first, self.Here):
                raise TypeError(f"can't convert {self.here} device type tensor to numpy.")
            given = tree_leaves((args[::2] if "item__" in name else args, kwargs))  # not indices
            inputs = [a for a in given if isinstance(a, torch.Tensor)]
            here = any(isinstance(a, self.Here) for a in inputs)
            if here:
                self.refuse(name, given)
            device = kwargs.get("device")
            if device is not None:
                here, kwargs["device"] = torch.device(device).type == self.kind, CPU
            self.calls += here
            made = func(*self.plain(args), **self.plain(kwargs))
            return tree_map_only(torch.Tensor, self.take, made) if here else made

    def refuse(self, name, given):
        if name.removesuffix("_") in IN_ANY_ORDER:
            raise RuntimeError(f"{name} does not have a deterministic implementation.")
        arrays = name != "new_tensor" and any(isinstance(a, np.ndarray) for a in given)
        tensors = [a for a in given if isinstance(a, torch.Tensor) and a.dim()]
        if arrays or not all(isinstance(a, self.Here) for a in tensors):
            raise RuntimeError(f"Expected all tensors to be on the same device: {name}.")

    def plain(self, values):
        return tree_map_only(self.Here, lambda t: t.as_subclass(torch.Tensor), values)

    def take(self, tensor):
        if tensor.nbytes > self.memory:
            raise torch.OutOfMemoryError
        if self.kind == "mps" and tensor.dtype == torch.float64:
            raise TypeError("the MPS framework doesn't support float64.")
        return tensor.as_subclass(self.Here)

    def move(self, tensor, *to):
        """To devices, dtypes or what other tensors have of both."""
        device, plain = tensor.device, self.plain(tensor)
        for target in to:
            if isinstance(target, torch.dtype):
                plain = plain.to(target)
            elif isinstance(target, torch.Tensor):
                device, plain = target.device, plain.to(target.dtype)
            else:
                device = torch.device(target)
        if (device.type == self.kind) != isinstance(tensor, self.Here):
            plain = plain.clone()  # on another device nothing is shared
        return self.take(plain) if device.type == self.kind else plain
