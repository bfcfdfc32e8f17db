"""How the processes of a run find one another, each time anew.

torchrun keeps one store over its restarts. A process that comes too early would read there the address of one that was
killed, and fail to connect. Counting the restarts does not help: on several machines each counts its own.
"""

from __future__ import annotations

import json
import secrets
import time

import torch.distributed as dist

from fractalkit.errors import DataError

PAUSE = 0.02  # seconds between two looks
PATIENCE = 600.0  # seconds until all have to be there


def meet(store: dist.Store, rank: int, world: int, *, patience: float = PATIENCE) -> dist.Store:
    """A part of the store that only the processes of this start write to.

    Each leaves a random word. The first process calls a meeting of the words that it sees and waits until each has
    answered it, which one that was killed never does; where a word changes, it calls another.

    Args:
        store: what all processes of all starts share.
        patience: seconds to wait for the others.

    Raises:
        DataError: they do not come.
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
        f"the {world} processes of this run did not all start within {patience:.0f} s; see whether the machines reach "
        "one another at MASTER_ADDR and MASTER_PORT"
    )


def _words(store: dist.Store, world: int) -> dict[str, str]:
    """What each process left; empty where one has not."""
    keys = [f"word/{r}" for r in range(world)]
    if not store.check(keys):
        return {}
    return {str(r): store.get(k).decode() for r, k in enumerate(keys)}
