"""The parts of recipes/benchmarks/scale.py that its figures depend on."""

import socket
import threading
import time

import pytest

pytest.importorskip("distributed")

from recipes.benchmarks.scale import H200_BF16, Relay, rate, reckon, row, sampling


def test_a_relay_passes_on_all_and_counts_it():
    server = socket.create_server(("127.0.0.1", 0))

    def echo() -> None:
        a, _ = server.accept()
        while data := a.recv(1 << 16):
            a.sendall(data)
        a.close()

    threading.Thread(target=echo, daemon=True).start()
    relay = Relay(server.getsockname()[1])
    with socket.create_connection(("127.0.0.1", relay.port)) as s:
        s.sendall(b"x" * 100_000)
        s.shutdown(socket.SHUT_WR)
        got = b""
        while data := s.recv(1 << 16):
            got += data
    relay.close()
    server.close()
    assert got == b"x" * 100_000 and relay.bytes == 200_000


def test_a_rate_is_of_cpu_seconds():
    def work() -> float:
        time.sleep(0.02)  # costs none
        sum(range(200_000))
        return 3.0

    start, wall = time.process_time(), time.perf_counter()
    work()
    one = time.process_time() - start
    assert time.perf_counter() - wall > one
    assert 0.3 < rate(work, 10 * one) / (3 / one) < 3


def test_operations_are_those_of_the_model():
    from fractalkit.models.pretrained import from_pretrained

    net = from_pretrained("vdvae_mnist")
    codes = sampling(net, 0.05)[0]
    weights = sum(p.numel() for p in net.parameters())
    assert codes["flops"] > weights and codes["value"] > 1
    (bound,) = reckon([codes, row("flames", 1.0, "M samples/s")])
    assert bound["an H200 at its peak, per second"] == H200_BF16 / codes["flops"]
