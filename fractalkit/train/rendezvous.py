"""Rendezvous of the processes of a run at each start.

torchrun keeps one store over its restarts. A process that starts early could read the address of a killed process there
and fail to connect. Counting restarts does not help, as each machine counts its own.
"""

from __future__ import annotations

import json
import secrets
import time

import torch.distributed as dist

from fractalkit.errors import DataError

PAUSE = 0.02  # seconds between polls
PATIENCE = 600.0  # seconds until all processes must have started


def meet(store: dist.Store, rank: int, world: int, *, patience: float = PATIENCE) -> dist.Store:
    """Meet the other processes of this start, and return a part of the store that only they use.

    Each process writes a random word. The first process proposes a meeting of the words that it reads and waits until
    every process has confirmed it, which a killed one never does; when a word changes, it proposes another.

    Args:
        store: shared by all processes of all starts.
        patience: seconds to wait for the others.

    Raises:
        DataError: some did not start in time.
    """
    word = secrets.token_hex(8)
    store.set(f"word/{rank}", word)
    deadline = time.monotonic() + patience
    called: dict[str, str] = {}
    name = ""
    while time.monotonic() < deadline:
        if rank == 0:
            words = _words(store, world)
            if words and words != called:
                called, name = words, secrets.token_hex(8)
                store.set("meeting", json.dumps({"name": name, "words": words}))
            if called and store.check([f"{name}/here/{r}" for r in range(1, world)]):
                store.set(f"{name}/begun", "")
                return dist.PrefixStore(name, store)
        elif store.check(["meeting"]):
            meeting = json.loads(store.get("meeting"))
            if meeting["words"].get(str(rank)) == word:
                if meeting["name"] != name:
                    name = meeting["name"]
                    store.set(f"{name}/here/{rank}", "")
                if store.check([f"{name}/begun"]):
                    return dist.PrefixStore(name, store)
        time.sleep(PAUSE)
    raise DataError(
        f"the {world} processes of this run did not all start within {patience:.0f} s; check that the machines "
        "reach one another at MASTER_ADDR and MASTER_PORT"
    )


def _words(store: dist.Store, world: int) -> dict[str, str]:
    """The word of each process; empty while one is missing."""
    keys = [f"word/{r}" for r in range(world)]
    if not store.check(keys):
        return {}
    return {str(r): store.get(k).decode() for r, k in enumerate(keys)}
