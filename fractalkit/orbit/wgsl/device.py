"""The graphics device by wgpu (extra ``gpu``): Vulkan, Metal or Direct3D 12, on cards of every maker.

Where there is no card, a software driver such as Mesa's lavapipe may be found; :attr:`Gpu.software` says so.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np

from fractalkit.errors import DataError, UsageError

INSTALL = "pip install 'fractalkit[gpu]'"


class Gpu:
    """A device with its queue.

    Attributes:
        name: as its driver gives it; ``backend``: Vulkan, Metal or D3D12; ``driver``: its version.
        software: whether it is a program on the CPU.
    """

    def __init__(self, adapter: Any) -> None:
        import wgpu

        info = adapter.info
        self.name, self.backend = str(info["device"]), str(info["backend_type"])
        self.driver = str(info["description"])
        self.software = info["adapter_type"] == "CPU"
        wanted = ("max-storage-buffer-binding-size", "max-buffer-size")
        limits = {name: adapter.limits[name] for name in wanted}
        self.largest = min(limits.values())
        self.device = adapter.request_device_sync(required_limits=limits)
        self.queue = self.device.queue
        self._usage = wgpu.BufferUsage

    def buffer(self, content: np.ndarray[Any, Any] | int, *, uniform: bool = False) -> Any:
        """A buffer of an array's bytes, or of so many zeros.

        Raises:
            DataError: more than the device takes in one piece.
        """
        use, size = self._usage, content if isinstance(content, int) else content.nbytes
        size = max(16, -(-size // 4) * 4)
        if size > self.largest:
            raise DataError(
                f"{self.name}: {size:,} bytes in one piece are more than the {self.largest:,} that this device takes; "
                "take a smaller picture or --device cpu"
            )
        kind = use.UNIFORM if uniform else use.STORAGE
        made = self.device.create_buffer(size=size, usage=kind | use.COPY_SRC | use.COPY_DST)
        if not isinstance(content, int):
            self.write(made, content)
        return made

    def write(self, buffer: Any, content: np.ndarray[Any, Any] | bytes) -> None:
        """Put an array's bytes into a buffer."""
        data = content if isinstance(content, bytes) else np.ascontiguousarray(content).tobytes()
        if data:
            self.queue.write_buffer(buffer, 0, data + b"\0" * (-len(data) % 4))

    def read(self, buffer: Any, dtype: type[np.generic], count: int) -> np.ndarray[Any, Any]:
        """The first numbers of a buffer; waits for the work before."""
        size = count * np.dtype(dtype).itemsize
        return np.frombuffer(self.queue.read_buffer(buffer, 0, size), dtype)

    def pipeline(self, text: str, entry: str = "main") -> Any:
        """A compiled shader."""
        module = self.device.create_shader_module(code=text)
        return self.device.create_compute_pipeline(layout="auto", compute={"module": module, "entry_point": entry})

    def bind(self, pipeline: Any, buffers: Sequence[Any]) -> Any:
        """Buffers as the bindings 0, 1, ... of a pipeline."""
        entries = [{"binding": i, "resource": {"buffer": b}} for i, b in enumerate(buffers)]
        return self.device.create_bind_group(layout=pipeline.get_bind_group_layout(0), entries=entries)

    def run(self, *steps: tuple[Any, Any, int]) -> None:
        """Start shaders, one after the other: (pipeline, its bindings, how many workgroups)."""
        encoder = self.device.create_command_encoder()
        for pipeline, bound, groups in steps:
            wide = min(groups, 32768)
            one = encoder.begin_compute_pass()
            one.set_pipeline(pipeline)
            one.set_bind_group(0, bound)
            one.dispatch_workgroups(wide, -(-groups // wide))
            one.end()
        self.queue.submit([encoder.finish()])

    def wait(self) -> None:
        """Wait until all work is done."""
        self.queue.on_submitted_work_done_sync()

    def __str__(self) -> str:
        return f"{self.name} ({self.backend}{', software' if self.software else ''})"


@contextlib.contextmanager
def _opening() -> Iterator[None]:
    """While a device is opened: cffi reads its header into many small objects, which the garbage collector would go
    through again and again, a third of the time; and drivers complain on stderr where a folder is not set."""
    collects, unset = gc.isenabled(), "XDG_RUNTIME_DIR" not in os.environ
    gc.disable()
    if unset:
        os.environ["XDG_RUNTIME_DIR"] = tempfile.gettempdir()
    try:
        yield
    finally:
        if unset:
            os.environ.pop("XDG_RUNTIME_DIR", None)
        if collects:
            gc.enable()


@cache
def open_gpu() -> Gpu:
    """The machine's device; a card rather than a program.

    Raises:
        UsageError: wgpu is not installed, or there is no device.
    """
    if importlib.util.find_spec("wgpu") is None:
        raise UsageError(f"device gpu: the package wgpu is missing; {INSTALL}")
    with _opening():
        try:
            import wgpu
            from wgpu.backends.wgpu_native import extras

            # OpenGL has no compute shaders worth the name, and takes long to look for
            extras.set_instance_extras(backends=["Vulkan", "Metal", "DX12"])
            return Gpu(wgpu.gpu.request_adapter_sync(power_preference="high-performance"))
        except (RuntimeError, OSError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UsageError(
                f"device gpu: no device of Vulkan, Metal or Direct3D 12 was found ({reason}); install the card's "
                "driver, or on Linux mesa-vulkan-drivers"
            ) from None
