"""The kernel for CUDA without a card: in Triton's interpreter, and compiled for four generations of cards."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton", reason="Triton is not installed")


def test_triton_kernel_matches_the_twin_in_its_interpreter():
    """Without a CUDA device, the kernel runs in Triton's interpreter with few chains, in a separate process."""
    code = """
import torch, numpy as np
import fractalkit.orbit.streams as streams
streams.CHAINS = 256
import fractalkit.orbit.torch_twin as twin, fractalkit.orbit.triton_cuda as fast
from fractalkit.codes import preset
for name in ("barnsley-fern", "tree-3d"):
    f = preset(name)
    p = streams.plan(f, 5, 20)
    cpu = torch.device("cpu")
    walkers = [fast.TritonWalker(p, torch.float64, cpu), twin.TorchWalker(p, torch.float64, cpu)]
    got = []
    for w in walkers:
        w.skip(20)
        x, s = torch.empty(3, 256, f.dim, dtype=torch.float64), torch.empty(3, 256, dtype=torch.int16)
        w.points(3, x, s)
        shape = np.array([9, 7, 5][: f.dim])
        low, high = x.reshape(-1, f.dim).amin(0).numpy() + 0.05, x.reshape(-1, f.dim).amax(0).numpy()
        total = torch.zeros(shape.prod() + 1, dtype=torch.int64)
        rgb = torch.zeros(shape.prod() + 1, 3, dtype=torch.int64)
        scale = shape / (high - low)
        w.count(4, 37, (scale, -low * scale, shape), f.colours.numpy(), f.colour_speed, total, rgb)
        got.append((x, s, total, rgb))
    a, b = got
    assert torch.allclose(a[0], b[0]) and all(torch.equal(u, v) for u, v in zip(a[1:], b[1:]))
    assert int(a[2].sum()) == 4 * 256 + 37
print("agree")
"""
    run = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True
    )
    assert run.stdout.strip() == "agree", run.stderr[-2000:]


@pytest.mark.parametrize("kind", [{"D": 2, "COUNT": True, "COLOUR": True}, {"D": 3, "STORE": True, "SYMBOLS": True}])
def test_triton_kernel_compiles_for_cards(kind, monkeypatch):
    monkeypatch.setenv("TRITON_DEFAULT_FP_FUSION", "1")  # unset, Triton warns that its default will change
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    import fractalkit.orbit.triton_cuda as fast

    constants = {
        "D": 2, "BITS": 3, "STORE": False, "SYMBOLS": False, "COUNT": False, "COLOUR": False, "M1": fast.MIX1,
        "M2": fast.MIX2, "PHI": fast.STRIDE, "BLOCK": fast.BLOCK,
    } | kind  # fmt: skip
    types = dict.fromkeys(("tab", "state", "scale", "shift", "out"), "*fp32")
    types |= dict.fromkeys(("threshold", "key1", "key2"), "*u32") | dict.fromkeys(("tint", "tone"), "*fp64")
    types |= dict.fromkeys(("shape", "total", "rgb"), "*i64") | {"pair": "*u16", "symbols": "*i16", "speed": "fp32"}
    types |= dict.fromkeys(("t0", "rows", "last", "slots", "chains"), "i32") | {"cells": "i64"}
    names = [p.name for p in fast._walk.params]
    source = ASTSource(
        fn=fast._walk,
        signature={n: "constexpr" if n in constants else types[n] for n in names},
        constexprs={(names.index(n),): v for n, v in constants.items()},
    )
    for capability in (75, 80, 90, 100):  # Turing, Ampere, Hopper, Blackwell
        binary = compile(source, target=GPUTarget("cuda", capability, 32)).asm["cubin"]
        assert binary.startswith(b"\x7fELF"), capability
