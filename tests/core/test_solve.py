import numpy as np
import pytest
import torch

from fractalkit.core import (
    Anderson,
    ConvergenceError,
    Implicit,
    Picard,
    Squaring,
    Unrolled,
    collage_bound,
    fixed_point,
    solve,
)
from fractalkit.errors import DataError, UsageError
from tests.problems import CantorMoments, Linear, collage, linear


@pytest.mark.parametrize("solver", ["picard", "anderson", Anderson(memory=3)])
def test_reaches_the_exact_fixed_point_within_its_own_bound(solver):
    problem = linear()
    s = solve(problem, solver=solver, tol=1e-9)
    error = problem.distance(s.value, problem.exact())
    assert s.converged and (s.error_bound <= 1e-9).all()
    assert (error <= s.error_bound + 1e-13).all()


def test_anderson_needs_far_fewer_steps_than_picard():
    problem = linear(rate=0.99, n=5)
    plain, fast = solve(problem, tol=1e-8, max_steps=5000), solve(problem, solver=Anderson(memory=8), tol=1e-8)
    assert plain.converged and fast.converged and fast.steps * 5 < plain.steps


def test_cantor_moments():
    s = solve(CantorMoments(4), tol=1e-14)
    m = s.value
    assert torch.allclose(m[0], torch.tensor(0.5, dtype=torch.float64))
    assert torch.allclose(m[1] - m[0] ** 2, torch.tensor(0.125, dtype=torch.float64))


def test_coarse_first_is_exact_and_takes_no_full_size_step():
    problem = collage(4**5)
    x = fixed_point(problem)
    assert problem.steps == 0 and torch.allclose(x, problem.exact(), atol=1e-12)
    assert solve(problem, x, tol=1e-10).steps == 1
    assert solve(collage(4**5), tol=1e-10).steps > 20


def test_the_collage_theorem_bounds_the_error_of_any_point():
    problem = linear()
    for scale in (0.1, 1, 10):
        x = scale * torch.randn_like(problem.b)
        assert (problem.distance(x, problem.exact()) <= collage_bound(problem, x) * (1 + 1e-12)).all()


def test_the_fixed_point_forgets_the_start():
    problem = linear()
    a = solve(problem, tol=1e-10).value
    b = solve(problem, 100 * torch.randn_like(problem.b), tol=1e-10).value
    assert torch.allclose(a, b, atol=1e-9)


def test_callback_sees_each_step_and_can_stop():
    seen = []
    s = solve(linear(), callback=lambda state: seen.append(state.step) or state.step == 4)
    assert seen == [1, 2, 3, 4] and not s.converged and "callback" in s.message


def test_each_step_says_how_far_it_moved_and_how_far_it_can_be_off():
    problem = linear(rate=0.8)
    x = problem.start()
    for state in steps_of(problem, 5):
        tx = problem.step(x)
        assert torch.equal(state.residual, problem.distance(x, tx))
        assert torch.allclose(state.error_bound, state.residual * 0.8 / 0.2, rtol=1e-12)
        x = tx
    assert solve(problem, max_steps=1, tol=1e9).steps == 1


def steps_of(problem, n):
    seen = []
    solve(problem, callback=lambda state: seen.append(state) or state.step == n)
    return seen


def test_an_accelerated_answer_is_an_image_of_the_map():
    # what is proven good is T x; the mixture that comes after it is a guess
    problem = linear(rate=0.9)
    s = solve(problem, solver=Anderson(memory=4), tol=1e-6)
    inverse = torch.linalg.solve(problem.a, s.value - problem.b)
    assert torch.allclose(problem.distance(inverse, s.value), s.residual, rtol=1e-6)


def test_an_item_that_grew_forgets_its_history():
    anderson = Anderson(memory=5, growth=2.0)
    x, tx = torch.zeros(2, 3).double(), torch.ones(2, 3).double()
    _, state = anderson.advance(x, tx, torch.tensor([1.0, 1.0]).double(), anderson.init(None, x))
    _, state = anderson.advance(tx, tx + 0.5, torch.tensor([0.5, 0.5]).double(), state)
    y, z = torch.full((2, 3), 2.0).double(), torch.full((2, 3), 4.0).double()
    got, state = anderson.advance(y, z, torch.tensor([0.9, 1.1]).double(), state)
    assert not torch.equal(got[0], z[0])  # not yet twice the least: accelerated
    assert torch.equal(got[1], z[1])  # more: a plain step
    assert torch.equal(state.least, torch.tensor([0.5, 1.1]).double())
    assert all(torch.equal(old[1], y[1]) for old in state.xs) and not torch.equal(state.xs[0][0], y[0])


def test_failures_are_values_with_a_sentence():
    s = solve(linear(rate=0.999), max_steps=3, tol=1e-9)
    assert not s.converged and "raise max_steps" in s.message and s.steps == 3
    with pytest.raises(ConvergenceError, match="ran out of steps"):
        solve(linear(rate=0.999), max_steps=3, tol=1e-9, throw=True)
    broken = linear()
    broken.b[0, 0] = float("nan")
    assert "not finite" in solve(broken).message


def test_refuses_what_cannot_work():
    with pytest.raises(DataError, match="below 1"):
        solve(Linear(torch.eye(2, dtype=torch.float64)[None] * 1.5, torch.ones(1, 2, dtype=torch.float64)))
    with pytest.raises(UsageError, match="picard, anderson"):
        solve(linear(), solver="newton")
    with pytest.raises(UsageError, match="tol"):
        solve(linear(), tol=0.0)
    with pytest.raises(UsageError, match="max_steps"):
        solve(linear(), max_steps=0)


@pytest.mark.parametrize("adjoint", [Unrolled(), Implicit(tol=1e-12)])
@pytest.mark.parametrize("solver", [Picard(), Anderson()])
def test_gradcheck(adjoint, solver):
    base = linear(batch=2, n=3, rate=0.5)

    def fixed(a, b):
        return solve(Linear(a, b), solver=solver, tol=1e-12, adjoint=adjoint).value

    a, b = base.a.clone().requires_grad_(), base.b.clone().requires_grad_()
    assert torch.autograd.gradcheck(fixed, (a, b), atol=1e-6)


def test_implicit_and_unrolled_agree_and_match_the_closed_form():
    base = linear(rate=0.8)
    grads = []
    for adjoint in (Unrolled(), Implicit(tol=1e-12), None):
        a, b = base.a.clone().requires_grad_(), base.b.clone().requires_grad_()
        p = Linear(a, b)
        value = p.exact() if adjoint is None else solve(p, tol=1e-12, adjoint=adjoint).value
        value.square().sum().backward()
        grads.append((a.grad, b.grad))
    for g in grads[1:]:
        assert torch.allclose(g[0], grads[0][0], rtol=1e-6) and torch.allclose(g[1], grads[0][1], rtol=1e-6)


def test_implicit_keeps_the_graph_of_a_few_steps_only():
    saved = {"implicit": 0, "unrolled": 0}
    for name, adjoint in (("implicit", Implicit()), ("unrolled", Unrolled())):
        base = linear(rate=0.95)
        b = base.b.clone().requires_grad_()

        def count(x, name=name):
            saved[name] += 1
            return x

        with torch.autograd.graph.saved_tensors_hooks(count, lambda x: x):
            solve(Linear(base.a.requires_grad_(), b), tol=1e-9, adjoint=adjoint)
    assert saved["implicit"] < 12 < 100 < saved["unrolled"]


def test_implicit_reports_a_gradient_that_does_not_converge():
    b = linear(rate=0.99).b.clone().requires_grad_()
    value = solve(Linear(linear(rate=0.99).a, b), max_steps=9000, adjoint=Implicit(max_steps=2)).value
    with pytest.raises(ConvergenceError, match="max_steps"):
        value.sum().backward()


def test_no_graph_where_nothing_wants_one():
    assert not solve(linear(), adjoint=Implicit()).value.requires_grad
    with torch.no_grad():
        b = linear().b.requires_grad_()
        assert not solve(Linear(linear().a, b), adjoint=Implicit()).value.requires_grad


def test_weaker_rules_ask_for_no_lipschitz_constant(monkeypatch):
    problem = linear()
    monkeypatch.setattr(type(problem), "lipschitz", lambda self: pytest.fail("not needed"))
    s = solve(problem, residual=1e-6)
    assert s.converged and s.residual.max() <= 1e-6 and s.error_bound.isnan().all()
    assert not solve(problem, residual=1e-6, max_steps=2).converged
    monkeypatch.setattr(type(problem), "distance", lambda self, x, y: pytest.fail("not needed"))
    s = solve(problem, steps=3)
    assert s.steps == 3 and torch.equal(s.value, problem.step(problem.step(problem.step(problem.start()))))


def test_rounding_is_a_tolerance():
    problem = linear(rate=0.9)
    s = solve(problem, tol=None)
    assert s.converged and torch.allclose(s.value, problem.exact(), rtol=1e-12)


class Permuted(Linear):
    """x -> b + w x(s) as a linear map."""

    def __init__(self, b, w, places):
        self.weight, self.places = w, places
        a = torch.zeros(len(places), len(places), dtype=b.dtype)
        a[range(len(places)), places] = w[0]
        super().__init__(a.expand(len(b), -1, -1), b)

    def affine(self):
        return self.b, self.weight, self.places


def test_squaring_doubles_the_steps_and_takes_gradients():
    places = np.array([3, 0, 1, 1, 4, 2])
    b = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)
    w = (0.999 * torch.rand(1, 6, dtype=torch.float64)).requires_grad_()
    s = solve(Permuted(b, w, places), solver=Squaring(), tol=1e-12)
    assert s.converged and s.steps <= 15
    assert torch.allclose(s.value, Permuted(b, w, places).exact(), atol=1e-10)

    def fixed(b, w):
        return solve(Permuted(b, w, places), solver=Squaring(), tol=1e-12).value

    assert torch.autograd.gradcheck(fixed, (b, w), atol=1e-6)
