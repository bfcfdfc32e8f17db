"""The language of variations: what it takes and what it refuses, in one sentence with the line."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from fractalkit.cli.main import main
from fractalkit.codes.variation_list import catalogue
from fractalkit.codes.variation_text import read_variations
from fractalkit.errors import DataError
from fractalkit.maps.own_variations import load_variations

HEAD = "variation v(a=1, x=2): One.\n"


def check(body: str, head: str = HEAD):
    declared = read_variations(head + body, "my.variations", catalogue().functions.get)
    for d in declared:
        d.check()
    return declared


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("    while 1:\n        pass\n    return x, y\n", "line 2.*only assignments, if, for"),
        ("    return x + foo, y\n", "line 2.*foo is not known"),
        ("    return __import__('os'), y\n", "no function __import__"),
        ("    return x.real, y\n", "not part of the language"),
        ("    return (lambda: 1)(), y\n", "no call of a function"),
        ("    return [x for x in y], y\n", "not part of the language"),
        ("    return 'a', y\n", "no number"),
        ("    return 1e400, y\n", "no number"),
        ("    pi = 3\n    return x, y\n", "line 2.*meaning of its own"),
        ("    a = 1\n    return x, y\n", "meaning of its own"),
        ("    for k in range(1000):\n        b = k\n    return x, y\n", "at most 256 times"),
        ("    for k in range(a):\n        for j in range(a):\n            b = k\n    return x, y\n", "loops within"),
        ("    for k in range(x):\n        b = k\n    return x, y\n", "may depend on parameters"),
        ("    if x:\n        b = 1\n    return x, y\n", "expected a condition"),
        ("    return x > 0, y\n", "expected a number"),
        ("    if x > 0:\n        b = 1\n    return b, y\n", "no value on every way"),
        ("    break\n    return x, y\n", "only assignments"),
        ("    if x > 0: break\n    return x, y\n", "break outside a loop"),
        ("    return sin(x, y), y\n", "sin takes 1"),
        ("    return clog(x, y), y\n", "several numbers"),
        ("    b, c = clog(x, y, 1)\n    return x, y\n", "takes 2"),
        ("    return v(x), y\n", "no function v above"),
        ("    return x\n", "returns 1"),
        ("    b = x\n", "last line must be"),
        ("", "last line must be"),
        ("    return x +, y\n", "no formula"),
        ("  return x, y\n      b = 1\n", "no formula"),
        ("    return " + "-" * 5000 + "x, y\n", "no formula|too"),
        ("    return " + "(" * 300 + "x" + ")" * 300 + ", y\n", "no formula"),
        ("    @nosuch a\n    return x, y\n", "@nosuch is not known"),
        ("    @spelled b: c\n    return x, y\n", "no parameter"),
        ("    hidden = 1\n    return x, y\n", "hidden is set to a number"),
    ],
)  # fmt: skip
def test_what_is_refused(body, why):
    with pytest.raises(DataError, match=f"my.variations: line .*{why}|my.variations.*{why}"):
        check(body)


@pytest.mark.parametrize(
    "text",
    ["hello\n", "    return x, y\n", "variation v(1): a\n    return x, y\n", "variation v(a=b): a\n    return x, y\n",
     "variation v(a, a): a\n    return x, y\n", "function sin(a): a\n    return a\n", "variation v() a\n"],
)  # fmt: skip
def test_lines_that_are_no_declarations(text):
    with pytest.raises(DataError, match=r"^my.variations: line 1"):
        check("", text)


def test_mutated_files_are_read_or_refused():
    text = (
        HEAD + "    b, c = clog(x, y)\n    for k in range(a):\n        b += k * random()\n        if b > 9: break\n"
        "    if b > 0 and not c > 1:\n        c = 1 if p_x > 0 else hash(b, 1, 2)\n    return w * b, w * c ** 2\n"
    )
    check(text, "")
    rng = np.random.default_rng(0)
    letters = [*list("abxyzk0129.,:()+-*/<>=@#' \n"), "    ", "if ", "for ", "return ", "random()"]
    for _ in range(300):
        t = text
        for _ in range(int(rng.integers(1, 4))):
            i, j = sorted(rng.integers(0, len(t), 2))
            t = t[:i] + str(rng.choice(letters)) + t[min(j, i + 3) :]
        try:
            check(t, "")
        except DataError as error:
            assert "\n" not in str(error)


def test_own_variations_are_loaded_once_and_must_give_numbers(tmp_path, monkeypatch):
    monkeypatch.setenv("FRACTALKIT_VARIATIONS", "")
    path = tmp_path / "my.variations"
    path.write_text("# mine\nvariation tests_pond(gain=0.3): Ripples.\n    return w * x * (1 + gain * sin(r)), w * y\n")
    assert load_variations(path) == ["tests_pond"] == load_variations(path)
    assert catalogue().parameter("post_tests_pond_gain") == ("post_tests_pond", "gain")
    for body, why in (
        ("    b = 1 / 0\n    return b, y\n", "divides by zero"),
        ("    b = 1 / (x - x)\n    return b, y\n", "no finite number"),
        ("    return log(-1 - r2), y\n", "no finite number"),
    ):
        path.write_text("variation tests_bad(): Bad.\n" + body)
        with pytest.raises(DataError, match=f"my.variations: line 1.*{why}"):
            load_variations(path)
    path.write_text("variation Linear(): Taken.\n    return x, y\n")
    with pytest.raises(DataError, match="a variation Linear already"):
        load_variations(path)
    for text, why in (("# nothing\n", "declares no variation"), ("x" * (1 << 21), "bytes")):
        path.write_text(text)
        with pytest.raises(DataError, match=why):
            load_variations(path)
    with pytest.raises(DataError, match="no such file"):
        load_variations(tmp_path / "none")
    assert catalogue().spelled("tests_bad") is None


def test_commands_take_files_of_variations(tmp_path, monkeypatch):
    monkeypatch.setenv("FRACTALKIT_VARIATIONS", "")
    mine, flame = tmp_path / "my.variations", tmp_path / "a.flame"
    mine.write_text("variation tests_lake(): Nothing.\n    return w * x, w * y\n")
    flame.write_text('<flame><xform weight="1" tests_lake="0.5"/></flame>')
    run = CliRunner().invoke(main, ["info", str(flame), "--variations", str(mine), "--json"])
    assert run.exit_code == 0 and json.loads(run.stdout)["variations"] == ["tests_lake"], run.output
    mine.write_text("variation tests_sea(): Nothing.\n    return w * x, q\n")
    run = CliRunner().invoke(main, ["info", str(flame), "--variations", str(mine)])
    assert run.exit_code == 1 and "line 2" in run.stderr and len(run.stderr.splitlines()) == 1
