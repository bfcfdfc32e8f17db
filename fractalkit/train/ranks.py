"""The processes of a run, one or several; torchrun says which of them this one is."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from fractalkit.errors import DataError, UsageError
from fractalkit.train.meeting import meet


@dataclass(frozen=True)
class Ranks:
    """This process among all: ``rank`` of ``world``, on ``device``. With one process every method does nothing."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this one writes the files."""
        return self.rank == 0

    def sum_(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over the processes.

        They travel as one flat buffer that is laid out alike at every step. DistributedDataParallel would rearrange
        its buckets after the first step of each start, and with them the rounding: a resumed run would drift.
        """
        if self.world == 1:
            return
        tensors = list(tensors)
        if not tensors:
            return
        flat = torch.cat([t.reshape(-1) for t in tensors]).to(self.device)
        with _all_there():
            dist.all_reduce(flat)
        at = 0
        for t in tensors:
            t.copy_(flat[at : at + t.numel()].view(t.shape))
            at += t.numel()

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Each flag, true where it is so for any process."""
        if self.world == 1:
            return flags
        tensor = torch.tensor([float(f) for f in flags], device=self.device)
        with _all_there():
            dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return tuple(bool(f) for f in tensor.tolist())

    def agree(self, text: str) -> bool:
        """Whether all processes give the same text."""
        if self.world == 1:
            return True
        number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
        bounds = torch.tensor([number, -number], dtype=torch.int64, device=self.device)
        with _all_there():
            dist.all_reduce(bounds, dist.ReduceOp.MAX)
        return bounds.tolist() == [number, -number]

    def share_(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the first one's tensors."""
        if self.world > 1:
            for t in tensors:
                buffer = t.detach().contiguous().to(self.device)
                with _all_there():
                    dist.broadcast(buffer, 0)
                t.detach().copy_(buffer)


@contextmanager
def processes(device: torch.device) -> Iterator[Ranks]:
    """The processes that torchrun started, talking over NCCL on CUDA and over Gloo elsewhere; without it, this one.

    Raises:
        UsageError: torchrun's variables are there in part only.
        DataError: the others do not come, or are gone before the end.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks(device)
        return
    missing = [n for n in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if n not in os.environ]
    if missing:
        raise UsageError(f"WORLD_SIZE is {world} but {missing[0]} is not set; start the processes with torchrun")
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    # Its functions have the group of all processes as a default argument, bound when they are imported, which the first
    # optimiser does. Imported after init_process_group they keep the group for ever: Gloo's threads then outlive
    # destroy_process_group, and one that still lets go of a tensor while the interpreter ends aborts the process.
    from torch.distributed.nn import functional  # noqa: F401

    try:
        shared, rank, world = next(iter(dist.rendezvous("env://")))
    except (RuntimeError, ValueError) as error:
        raise DataError(
            f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}: no meeting of the processes ({error}); see "
            "whether the machines reach one another there"
        ) from error
    store = meet(shared, rank, world)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", store=store, rank=rank, world_size=world)
    try:
        yield Ranks(device, rank, world)
        with _all_there():
            dist.barrier()  # one that leaves while another still talks takes that one down
    finally:
        dist.destroy_process_group()


@contextmanager
def _all_there() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # NCCL's and Gloo's; the latter begins with a place in its source
        why = re.sub(r"^\[[^\]]*\]\s*", "", str(error)).split(". ")[0].splitlines()[0]
        raise DataError(
            f"another process of this run is gone ({why}); the last checkpoint stands, and --resume goes on from it"
        ) from error
