"""Codes made from codes: composition, powers, conjugation, interpolation."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from fractalkit.codes.affine import MAX_MAPS, AffineIFS
from fractalkit.errors import UsageError


def compose(f: AffineIFS, g: AffineIFS) -> AffineIFS:
    """All f_i ∘ g_j, map i * len(g) + j, with weights p_i q_j: the Hutchinson operator of f after that of g.

    Colours are f's, the map taken last.

    Raises:
        UsageError: different dimensions, or more maps than a code may have.
    """
    if f.dim != g.dim:
        raise UsageError(f"compose: codes of dimension {f.dim} and {g.dim} do not compose")
    if len(f) * len(g) > MAX_MAPS:
        raise UsageError(f"compose: {len(f)} x {len(g)} maps are more than {MAX_MAPS}")
    g = g.to(device=f.matrices.device, dtype=f.matrices.dtype)
    matrices = torch.einsum("aij,bjk->abik", f.matrices, g.matrices).flatten(0, 1)
    offsets = (torch.einsum("aij,bj->abi", f.matrices, g.offsets) + f.offsets[:, None]).flatten(0, 1)
    weights = (f.probabilities[:, None] * g.probabilities).flatten()
    colours = None if f.colours is None else f.colours.repeat_interleave(len(g), dim=0)
    return replace(
        f,
        matrices=matrices,
        offsets=offsets,
        weights=weights,
        colours=colours,
        colour_field=None,
        name="",
        provenance={},
    )


def power(ifs: AffineIFS, n: int) -> AffineIFS:
    """The code of all words of length n >= 1: same attractor and measure, contraction to the n-th power."""
    if n < 1:
        raise UsageError(f"power: expected n of at least 1, got {n}")
    out = ifs
    for _ in range(n - 1):
        out = compose(out, ifs)
    return out


def conjugate(ifs: AffineIFS, matrix: Tensor, offset: Tensor) -> AffineIFS:
    """h ∘ f_k ∘ h^-1 for h(x) = M x + v: the attractor moves to h(attractor). ``matrix [D, D]``, ``offset [D]``.

    The norms change unless M is a similarity; a map may cease to contract in the Euclidean metric, or begin to.

    Raises:
        UsageError: M is singular or of another shape.
    """
    d = ifs.dim
    m = matrix.to(ifs.matrices)
    v = offset.to(ifs.matrices)
    if m.shape != (d, d) or v.shape != (d,) or not float(torch.linalg.det(m).abs()) > 0:
        raise UsageError(f"conjugate: expected an invertible matrix [{d}, {d}] and an offset [{d}]")
    a = m @ ifs.matrices @ torch.linalg.inv(m)
    t = ifs.offsets @ m.T + v - a @ v
    return replace(ifs, matrices=a, offsets=t, provenance={})


def interpolate(a: AffineIFS, b: AffineIFS, t: float) -> AffineIFS:
    """The code between a (t = 0) and b (t = 1), map by map, offsets, weights and colours linearly.

    Linear parts go by their polar factors, A = R P: the rotation R turns along the shortest arc and the stretch P is
    interpolated linearly, so that shapes turn instead of collapsing through zero half-way; where one is reflected and
    the other not, no such path exists and A is interpolated linearly. Either way the norm stays at or below the larger
    of the two, because norms are convex and rotations keep them: codes that contract interpolate to codes that
    contract.

    Raises:
        UsageError: different dimensions or numbers of maps, or t outside [0, 1].
    """
    if a.dim != b.dim or len(a) != len(b):
        raise UsageError(
            f"interpolate: codes of {len(a)} maps in {a.dim}D and {len(b)} maps in {b.dim}D have no map-by-map path; "
            "animate([a, b], path) films one that becomes the other"
        )
    if not 0 <= t <= 1:
        raise UsageError(f"interpolate: expected t from 0 to 1, got {t}")
    b = b.to(device=a.matrices.device, dtype=a.matrices.dtype)
    (ra, pa), (rb, pb) = _polar(a.matrices), _polar(b.matrices)
    turned = ra @ _fraction_of_rotation(ra.mT @ rb, t) @ torch.lerp(pa, pb, t)
    same = (torch.linalg.det(ra) * torch.linalg.det(rb) > 0)[:, None, None]
    colours = None
    if a.colours is not None and b.colours is not None:
        colours = torch.lerp(a.colours, b.colours, t)
    return AffineIFS(
        torch.where(same, turned, torch.lerp(a.matrices, b.matrices, t)), torch.lerp(a.offsets, b.offsets, t),
        torch.lerp(a.probabilities, b.probabilities, t), colours, (1 - t) * a.colour_speed + t * b.colour_speed,
    )  # fmt: skip


def _polar(m: Tensor) -> tuple[Tensor, Tensor]:
    """A = R P with R orthogonal and P positive semidefinite, by the singular value decomposition."""
    u, s, vh = torch.linalg.svd(m)
    return u @ vh, vh.mT @ (s[..., None] * vh)


def _fraction_of_rotation(r: Tensor, t: float) -> Tensor:
    """R^t along the shortest arc, for rotations ``[K, D, D]`` of the plane or space (Rodrigues)."""
    if r.shape[-1] == 2:
        angle = t * torch.atan2(r[:, 1, 0], r[:, 0, 0])
        c, s = angle.cos(), angle.sin()
        return torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], -2)
    # the skew part has length sin(angle); near a half turn the axis comes from the symmetric part
    skew = torch.stack([r[:, 2, 1] - r[:, 1, 2], r[:, 0, 2] - r[:, 2, 0], r[:, 1, 0] - r[:, 0, 1]], -1) / 2
    sine = torch.linalg.vector_norm(skew, dim=-1)
    cosine = (r.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    angle = torch.atan2(sine, cosine)
    outer = (r + r.mT) / 2 - cosine[:, None, None] * torch.eye(3, dtype=r.dtype, device=r.device)
    column = outer.diagonal(dim1=-2, dim2=-1).argmax(-1)
    half_turn = outer[torch.arange(len(r)), :, column]
    half_turn = half_turn * torch.where((half_turn * skew).sum(-1) < 0, -1.0, 1.0)[:, None]
    axis = torch.where((sine > 1e-4)[:, None], skew, half_turn)
    axis = axis / torch.linalg.vector_norm(axis, dim=-1, keepdim=True).clamp_min(torch.finfo(r.dtype).tiny)
    angle = (t * angle)[:, None, None]
    x, y, z = axis.unbind(-1)
    o = torch.zeros_like(x)
    k = torch.stack([o, -z, y, z, o, -x, -y, x, o], -1).reshape(-1, 3, 3)
    return torch.eye(3, dtype=r.dtype, device=r.device) + angle.sin() * k + (1 - angle.cos()) * (k @ k)
