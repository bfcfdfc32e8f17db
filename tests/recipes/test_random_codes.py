"""Cases of random codes: determined by their number, of every kind, and named truly."""

import torch

from fractalkit.codes.affine import AffineIFS
from recipes.benchmarks.random_codes import PLANE, RULES, SPACE, draw_case, kinds


def test_a_number_determines_a_case():
    for dim in (2, 3):
        a, b = draw_case(7, dim), draw_case(7, dim)
        assert torch.equal(a.code.matrices, b.code.matrices) and a.kinds == b.kinds
        assert not torch.equal(a.code.matrices[0], draw_case(10, dim).code.matrices[0])


def test_the_cases_hold_every_rule_and_kind():
    for dim, numbers in ((2, PLANE), (3, SPACE)):
        cases = [draw_case(n, dim) for n in numbers]
        assert {c.rule for c in cases} == set(RULES)
        assert all(RULES[c.rule][0] <= c.maps <= RULES[c.rule][1] and c.code.dim == dim for c in cases)
        assert {"flat", "degenerate", "reflected", "unequal"} <= {k for c in cases for k in c.kinds}


def test_kinds():
    turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)

    def named(*diagonals):
        a = torch.stack([torch.diag(torch.tensor(d, dtype=torch.float64)) @ turn for d in diagonals])
        return set(kinds(AffineIFS(a, torch.zeros(len(a), 2, dtype=torch.float64))))

    assert named((0.5, 0.5), (0.4, 0.5)) == set()
    assert named((0.8, 0.8), (0.5, -0.8)) == {"reflected", "overlapping"}
    assert named((0.5, 0.5), (0.5, 0.06)) == {"flat"}
    assert named((0.5, 0.5), (0.5, 0.001)) == {"degenerate", "unequal"}
