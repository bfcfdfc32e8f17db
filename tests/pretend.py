"""A device that no machine has, for the paths that torch takes on an accelerator: a plugin of pytest.

    pytest -p tests.pretend --device pretend tests/test_device.py

Its numbers lie on the CPU, but it refuses what accelerators refuse: operations on tensors of two devices, CPU tensors
indexed by its own, generators of the other device, NumPy without ``.cpu()``, and float64, which Metal has not.
Generators of it draw the numbers of the CPU's, so that results can be compared closely.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

NAME = "pretend"
DEVICE = torch.device("privateuseone", 0)
TAKES_BOTH = ("aten._to_copy", "aten.copy_", "aten.index", "aten._index_put_impl_", "aten._unsafe_index")
RealGenerator = torch.Generator


class FarTensor(torch.Tensor):
    """A tensor of the device, whose numbers are in ``near``."""

    near: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, near: torch.Tensor) -> FarTensor:
        if near.dtype in (torch.float64, torch.complex128):
            raise TypeError(f"{NAME}: there is no {near.dtype} on this device")
        made: FarTensor = torch.Tensor._make_wrapper_subclass(
            cls, near.size(), strides=near.stride(), storage_offset=near.storage_offset(), dtype=near.dtype,
            device=DEVICE,
        )  # fmt: skip
        made.near = near
        return made

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"{NAME} {self.near!r}"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatched(func, args, kwargs or {})


def is_far(device: Any) -> bool:
    return device is not None and torch.device(device).type == DEVICE.type


def dispatched(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Do an operation on the numbers of its tensors, if their devices may meet."""
    name = str(func).rsplit(".", 1)[0]
    tensors = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, torch.Tensor)]
    far = [t for t in tensors if isinstance(t, FarTensor)]
    near = [t for t in tensors if not isinstance(t, FarTensor) and t.dim() > 0]
    if far and near and not name.startswith(TAKES_BOTH):
        raise RuntimeError(f"{name}: expected all tensors on one device, found {NAME} and cpu")
    if far and "index" in name and not isinstance(tensors[0], FarTensor):
        raise RuntimeError(f"{name}: a CPU tensor is indexed by one of {NAME}")
    wanted = kwargs.get("device")
    to_far = is_far(wanted) if wanted is not None else bool(far)
    options = kwargs | ({"device": "cpu"} if is_far(wanted) else {})
    out = func(*tree_map(_near, args), **tree_map(_near, options))
    if name.endswith("_") and not name.endswith("__"):  # in place, of one tensor or of many
        return args[0] if func._schema.returns else None
    known = {id(t.near): t for t in far}

    def placed(x: Any) -> Any:
        if not isinstance(x, torch.Tensor) or isinstance(x, FarTensor):
            return x
        return known[id(x)] if id(x) in known else FarTensor(x) if to_far else x

    return tree_map(placed, out)


def _near(x: Any) -> Any:
    return x.near if isinstance(x, FarTensor) else x


class Dispatch(TorchDispatchMode):
    """What makes tensors on the device, or copies them there, passes here."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # importing it takes seconds, and nothing is compiled here

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatched(func, args, kwargs or {})


class FarGenerator(RealGenerator):
    """A generator of the device."""

    @property
    def device(self) -> torch.device:
        return DEVICE


class _Generators(type):
    def __call__(cls, device: Any = "cpu") -> RealGenerator:
        return FarGenerator() if is_far(device) else RealGenerator(device)

    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, RealGenerator)


class Generator(metaclass=_Generators):
    """``torch.Generator``, which knows the device."""


class Calls(TorchFunctionMode):
    """What is lost before an operation is dispatched: generators, and conversions to Python and NumPy."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        far = [a for a in args if isinstance(a, FarTensor)]
        if args and isinstance(args[0], FarTensor):
            if name in ("numpy", "__array__"):
                raise TypeError(f"{NAME}: no NumPy array of a tensor of this device; use .cpu() first")
            if name == "tolist":
                return args[0].near.tolist()
            if name == "new_tensor":
                return FarTensor(args[0].near.new_tensor(*args[1:], **kwargs))
        if func is torch.tensor and is_far(kwargs.get("device")):
            return FarTensor(torch.tensor(*args, **kwargs | {"device": "cpu"}))
        if kwargs.get("generator") is not None:
            wanted = kwargs.get("device")
            there = is_far(wanted) if wanted is not None else bool(far)
            if there != isinstance(kwargs["generator"], FarGenerator):
                raise RuntimeError(f"{name}: a generator of another device")
        return func(*args, **kwargs)


class _Module(backend_registration._DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]

    def is_autocast_enabled(self) -> bool:
        return False

    def get_rng_state(self, device: Any = None) -> torch.Tensor:
        return torch.zeros(1, dtype=torch.uint8)

    def set_rng_state(self, state: torch.Tensor, device: Any = None) -> None:
        """There is no generator of the whole device."""


def pytest_configure() -> None:
    """Register the device; there is one in a process."""
    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=_Module())


@contextlib.contextmanager
def present() -> Iterator[None]:
    """Within it, tensors can be made on the device."""
    with mock.patch.object(torch, "Generator", Generator), Calls(), Dispatch():
        yield


@pytest.fixture(autouse=True, scope="session")
def _present() -> Iterator[None]:
    with present():
        yield
