"""The processes of a run, one or several, as torchrun sets them up."""

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
from fractalkit.train.rendezvous import meet


@dataclass(frozen=True)
class Ranks:
    """Process ``rank`` of ``world`` on ``device``. With one process, no method communicates."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def sum_(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over the processes.

        They are reduced as one flat buffer with the same layout at every step. DistributedDataParallel rearranges its
        buckets after the first step of each start, which changes the rounding, so that resumed runs would drift.
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
        """Logical or of each flag over the processes."""
        if self.world == 1:
            return flags
        tensor = torch.tensor([float(f) for f in flags], device=self.device)
        with _all_there():
            dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return tuple(bool(f) for f in tensor.tolist())

    def agree(self, text: str) -> bool:
        """Whether all processes pass the same text."""
        if self.world == 1:
            return True
        number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
        bounds = torch.tensor([number, -number], dtype=torch.int64, device=self.device)
        with _all_there():
            dist.all_reduce(bounds, dist.ReduceOp.MAX)
        return bounds.tolist() == [number, -number]

    def share_(self, tensors: Iterable[Tensor]) -> None:
        """Copy the tensors of the first process to all others."""
        if self.world > 1:
            for t in tensors:
                buffer = t.detach().contiguous().to(self.device)
                with _all_there():
                    dist.broadcast(buffer, 0)
                t.detach().copy_(buffer)


@contextmanager
def processes(device: torch.device) -> Iterator[Ranks]:
    """Join the processes that torchrun started, over NCCL on CUDA and Gloo elsewhere; without torchrun, this one.

    Raises:
        UsageError: some of torchrun's environment variables are missing.
        DataError: other processes do not start, or end early.
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
    # The functions of this module have the default process group as a default argument, bound at import, and the first
    # optimiser imports them. Imported after init_process_group they keep the group alive: Gloo's threads then outlive
    # destroy_process_group, and a thread that releases a tensor during interpreter shutdown aborts the process.
    from torch.distributed.nn import functional  # noqa: F401

    try:
        shared, rank, world = next(iter(dist.rendezvous("env://")))
    except (RuntimeError, ValueError) as error:
        raise DataError(
            f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}: the processes cannot connect ({error}); check "
            "that the machines reach one another there"
        ) from error
    store = meet(shared, rank, world)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", store=store, rank=rank, world_size=world)
    try:
        yield Ranks(device, rank, world)
        with _all_there():
            dist.barrier()  # a process that leaves early takes down those still communicating
    finally:
        dist.destroy_process_group()


@contextmanager
def _all_there() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # of NCCL or Gloo; the latter begins with a source location
        why = re.sub(r"^\[[^\]]*\]\s*", "", str(error)).split(". ")[0].splitlines()[0]
        raise DataError(
            f"another process of this run is gone ({why}); the last checkpoint stands, and --resume goes on from it"
        ) from error
