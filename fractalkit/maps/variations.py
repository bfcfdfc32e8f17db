"""The ninety-nine variations of fractal flames, each written once (Draves and Reckase 2003; later ones by name).

A variation is a function of x and y, the point after the affine map; w, its weight; u1 to u5, uniform in [0, 1); the
coefficients cb, ce, cc, cf of x' = a x + b y + c, y' = d x + e y + f where it depends on them; and its parameters by
their names. It returns what it adds to the point, weight included. Here they work on torch tensors of any type and
device; :mod:`.variations_cpu` compiles the same text for numbers. A new one is a function and a line in
``fractalkit.codes.flame.VARIATIONS``.

Throughout r = |(x, y)|, phi = atan2(y, x), theta = atan2(x, y), e = 1e-10.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def"
from fractalkit.maps.torch_math import (
    acos,
    atan2,
    both,
    cos,
    cosh,
    exp,
    floor,
    fmod,
    log,
    pi,
    power,
    rint,
    sin,
    sinh,
    sqrt,
    tan,
    trunc,
    where,
)

EPS = 1e-10


def v_linear(x, y, w):
    """w (x, y)."""
    return w * x, w * y


def v_sinusoidal(x, y, w):
    """w (sin x, sin y)."""
    return w * sin(x), w * sin(y)


def v_spherical(x, y, w):
    """w (x, y) / (r^2 + e)."""
    k = w / (x * x + y * y + EPS)
    return k * x, k * y


def v_swirl(x, y, w):
    """The point turned by r^2."""
    t = x * x + y * y
    s, c = sin(t), cos(t)
    return w * (s * x - c * y), w * (c * x + s * y)


def v_horseshoe(x, y, w):
    """w / r (x^2 - y^2, 2 x y)."""
    k = w / (sqrt(x * x + y * y) + EPS)
    return k * (x - y) * (x + y), k * 2 * x * y


def v_polar(x, y, w):
    """w (theta / pi, r - 1)."""
    return w * atan2(x, y) / pi, w * (sqrt(x * x + y * y) - 1)


def v_handkerchief(x, y, w):
    """w r (sin(theta + r), cos(theta - r))."""
    r, t = sqrt(x * x + y * y), atan2(x, y)
    return w * r * sin(t + r), w * r * cos(t - r)


def v_heart(x, y, w):
    """w r (sin(theta r), -cos(theta r))."""
    r = sqrt(x * x + y * y)
    a = r * atan2(x, y)
    return w * r * sin(a), -w * r * cos(a)


def v_disc(x, y, w):
    """w theta / pi (sin(pi r), cos(pi r))."""
    a, r = w * atan2(x, y) / pi, pi * sqrt(x * x + y * y)
    return a * sin(r), a * cos(r)


def v_spiral(x, y, w):
    """w / r (cos theta + sin r, sin theta - cos r)."""
    r = sqrt(x * x + y * y) + EPS
    return w / r * (y / r + sin(r)), w / r * (x / r - cos(r))


def v_hyperbolic(x, y, w):
    """w (sin theta / r, r cos theta)."""
    r = sqrt(x * x + y * y) + EPS
    return w * x / (r * r), w * y


def v_diamond(x, y, w):
    """w (sin theta cos r, cos theta sin r)."""
    r = sqrt(x * x + y * y) + EPS
    return w * x / r * cos(r), w * y / r * sin(r)


def v_ex(x, y, w):
    """w r (p^3 + q^3, p^3 - q^3) with p = sin(theta + r), q = cos(theta - r)."""
    r, t = sqrt(x * x + y * y), atan2(x, y)
    p, q = sin(t + r), cos(t - r)
    p, q = p * p * p * r, q * q * q * r
    return w * (p + q), w * (p - q)


def v_julia(x, y, w, u1):
    """w sqrt(r) (cos, sin)(theta / 2 + 0 or pi)."""
    r, a = w * sqrt(sqrt(x * x + y * y)), 0.5 * atan2(x, y)
    a = a + where(u1 < 0.5, 0.0 * a, 0.0 * a + pi)
    return r * cos(a), r * sin(a)


def v_bent(x, y, w):
    """2 x for x < 0, y / 2 for y < 0."""
    return w * where(x < 0, 2 * x, x), w * where(y < 0, 0.5 * y, y)


def v_waves(x, y, w, cb, ce, cc, cf):
    """w (x + b sin(y / c^2), y + e sin(x / f^2))."""
    return w * (x + cb * sin(y / (cc * cc + EPS))), w * (y + ce * sin(x / (cf * cf + EPS)))


def v_fisheye(x, y, w):
    """2 w / (r + 1) (y, x)."""
    k = 2 * w / (sqrt(x * x + y * y) + 1)
    return k * y, k * x


def v_popcorn(x, y, w, cc, cf):
    """w (x + c sin(tan 3 y), y + f sin(tan 3 x))."""
    return w * (x + cc * sin(tan(3 * y))), w * (y + cf * sin(tan(3 * x)))


def v_exponential(x, y, w):
    """w e^(x - 1) (cos pi y, sin pi y)."""
    k = w * exp(x - 1)
    return k * cos(pi * y), k * sin(pi * y)


def v_power(x, y, w):
    """w r^(sin theta) (cos theta, sin theta)."""
    r = sqrt(x * x + y * y) + EPS
    k = w * power(r, x / r)
    return k * y / r, k * x / r


def v_cosine(x, y, w):
    """w (cos pi x cosh y, -sin pi x sinh y)."""
    return w * cos(pi * x) * cosh(y), -w * sin(pi * x) * sinh(y)


def v_rings(x, y, w, cc):
    """Rings of width 2 c^2."""
    d = cc * cc + EPS
    r = sqrt(x * x + y * y) + EPS
    k = w * (fmod(r + d, 2 * d) - d + r * (1 - d))
    return k * y / r, k * x / r


def v_fan(x, y, w, cc, cf):
    """Sectors of pi c^2, turned by half of one."""
    d = pi * (cc * cc + EPS)
    a, r = atan2(x, y), w * sqrt(x * x + y * y)
    a = a + where(fmod(a + cf, d) > 0.5 * d, -0.5 * d + 0.0 * a, 0.5 * d + 0.0 * a)
    return r * cos(a), r * sin(a)


def v_blob(x, y, w, low, high, waves):
    """The radius swings between low and high."""
    a = atan2(x, y)
    r = w * sqrt(x * x + y * y) * (low + (high - low) * (0.5 + 0.5 * sin(waves * a)))
    return r * sin(a), r * cos(a)


def v_pdj(x, y, w, a, b, c, d):
    """w (sin a y - cos b x, sin c x - cos d y)."""
    return w * (sin(a * y) - cos(b * x)), w * (sin(c * x) - cos(d * y))


def v_fan2(x, y, w, p_x, p_y):
    """As fan, by parameters."""
    d = pi * (p_x * p_x + EPS)
    a, r = atan2(x, y), w * sqrt(x * x + y * y)
    t = a + p_y - d * trunc((a + p_y) / d)
    a = a + where(t > 0.5 * d, -0.5 * d + 0.0 * a, 0.5 * d + 0.0 * a)
    return r * sin(a), r * cos(a)


def v_rings2(x, y, w, val):
    """As rings, by a parameter."""
    d = val * val + EPS
    r = sqrt(x * x + y * y) + EPS
    k = w * (r - 2 * d * trunc((r + d) / (2 * d)) + r * (1 - d))
    return k * x / r, k * y / r


def v_eyefish(x, y, w):
    """2 w / (r + 1) (x, y)."""
    k = 2 * w / (sqrt(x * x + y * y) + 1)
    return k * x, k * y


def v_bubble(x, y, w):
    """4 w / (r^2 + 4) (x, y)."""
    k = w / (0.25 * (x * x + y * y) + 1)
    return k * x, k * y


def v_cylinder(x, y, w):
    """w (sin x, y)."""
    return w * sin(x), w * y


def v_perspective(x, y, w, angle, dist):
    """The plane tilted by angle pi / 2, seen from dist."""
    a = angle * (0.5 * pi)
    k = w / (dist - y * sin(a + 0.0 * y))
    return k * dist * x, k * dist * cos(a + 0.0 * y) * y


def v_noise(x, y, w, u1, u2):
    """w u (x cos 2 pi v, y sin 2 pi v)."""
    return w * u1 * x * cos(2 * pi * u2), w * u1 * y * sin(2 * pi * u2)


def v_julian(x, y, w, u1, p_power, dist):
    """One of |power| roots."""
    n = where(p_power < 0, -p_power + 0.0 * x, p_power + 0.0 * x)
    a = (atan2(y, x) + 2 * pi * trunc(n * u1)) / p_power
    r = w * power(x * x + y * y + 1e-300, dist / p_power * 0.5)
    return r * cos(a), r * sin(a)


def v_juliascope(x, y, w, u1, p_power, dist):
    """One of |power| roots, every other one mirrored."""
    n = where(p_power < 0, -p_power + 0.0 * x, p_power + 0.0 * x)
    t = trunc(n * u1)
    phi = atan2(y, x)
    a = (2 * pi * t + where(fmod(t, 2.0) == 0, phi, -phi)) / p_power
    r = w * power(x * x + y * y + 1e-300, dist / p_power * 0.5)
    return r * cos(a), r * sin(a)


def v_blur(x, y, w, u1, u2):
    """A disc, densest in the middle."""
    return w * u1 * cos(2 * pi * u2), w * u1 * sin(2 * pi * u2)


def v_gaussian_blur(x, y, w, u1, u2, u3, u4, u5):
    """About normal: the sum of four uniform numbers, in any direction."""
    g = w * (u1 + u2 + u3 + u4 - 2)
    return g * cos(2 * pi * u5), g * sin(2 * pi * u5)


def v_radial_blur(x, y, w, u1, u2, u3, u4, angle):
    """Blurred by turning and by zooming."""
    g = w * (u1 + u2 + u3 + u4 - 2)
    t = angle * (0.5 * pi) + 0.0 * x
    a, r, z = atan2(y, x) + sin(t) * g, sqrt(x * x + y * y), cos(t) * g - 1
    return r * cos(a) + z * x, r * sin(a) + z * y


def v_pie(x, y, w, u1, u2, u3, slices, rotation, thickness):
    """Slices of a disc."""
    a = rotation + 2 * pi * (trunc(u1 * slices + 0.5) + u2 * thickness) / slices
    return w * u3 * cos(a), w * u3 * sin(a)


def v_ngon(x, y, w, sides, p_power, circle, corners):
    """Regular polygons."""
    k = power(x * x + y * y + 1e-300, 0.5 * p_power)
    b = 2 * pi / sides
    a = atan2(y, x)
    a = a - b * floor(a / b)
    a = where(a > 0.5 * b, a - b, a)
    k = w * (corners * (1 / (cos(a) + EPS) - 1) + circle) / (k + EPS)
    return k * x, k * y


def v_curl(x, y, w, c1, c2):
    """z / (c2 z^2 + c1 z + 1)."""
    p = 1 + c1 * x + c2 * (x * x - y * y)
    q = c1 * y + 2 * c2 * x * y
    k = w / (p * p + q * q + 1e-300)
    return k * (x * p + y * q), k * (y * p - x * q)


def v_rectangles(x, y, w, p_x, p_y):
    """Each rectangle turned about its middle."""
    bx, by = where(p_x == 0, 1.0 + 0.0 * x, p_x + 0.0 * x), where(p_y == 0, 1.0 + 0.0 * x, p_y + 0.0 * x)
    fx, fy = (2 * floor(x / bx) + 1) * bx - x, (2 * floor(y / by) + 1) * by - y
    return w * where(p_x == 0, x, fx), w * where(p_y == 0, y, fy)


def v_arch(x, y, w, u1):
    """w (sin a, sin^2 a / cos a), a = u pi w."""
    a = u1 * pi * w
    return w * sin(a), w * sin(a) * sin(a) / cos(a)


def v_tangent(x, y, w):
    """w (sin x / cos y, tan y)."""
    return w * sin(x) / cos(y), w * tan(y)


def v_square(x, y, w, u1, u2):
    """A square."""
    return w * (u1 - 0.5), w * (u2 - 0.5)


def v_rays(x, y, w, u1):
    """w tan(a) w / r^2 (cos x, sin y), a = u pi w."""
    k = w * tan(w * u1 * pi) * w / (x * x + y * y + EPS)
    return k * cos(x), k * sin(y)


def v_blade(x, y, w, u1):
    """w x (cos + sin, cos - sin)(u w r)."""
    r = u1 * w * sqrt(x * x + y * y)
    return w * x * (cos(r) + sin(r)), w * x * (cos(r) - sin(r))


def v_secant2(x, y, w):
    """w (x, 1 / cos(w r) -+ 1)."""
    c = cos(w * sqrt(x * x + y * y))
    return w * x, w * (1 / c + where(c < 0, 1.0 + 0.0 * c, -1.0 + 0.0 * c))


def v_twintrian(x, y, w, u1):
    """w x (d, d - pi sin), d = log10 sin^2 + cos, of u w r."""
    r = u1 * w * sqrt(x * x + y * y)
    s = sin(r)
    d = where(s == 0, -30.0 + 0.0 * s, log(s * s + 1e-300) * 0.4342944819032518 + cos(r))
    return w * x * d, w * x * (d - s * pi)


def v_cross(x, y, w):
    """w |1 / (x^2 - y^2)| (x, y)."""
    s = x * x - y * y
    k = w * sqrt(1 / (s * s + EPS))
    return k * x, k * y


def v_disc2(x, y, w, rot, twist):
    """A twisted disc."""
    t = twist + 0.0 * x
    k = where(t > 2 * pi, 1 + t - 2 * pi, where(t < -2 * pi, 1 + t + 2 * pi, 1.0 + 0.0 * t))
    a, r = rot * pi * (x + y), w * atan2(x, y) / pi
    return r * (sin(a) + (cos(t) - 1) * k), r * (cos(a) + sin(t) * k)


def v_super_shape(x, y, w, u1, rnd, m, n1, n2, n3, holes):
    """Gielis's superformula."""
    a = 0.25 * m * atan2(y, x) + 0.25 * pi
    c, s = cos(a), sin(a)
    c, s = where(c < 0, -c, c) + 1e-300, where(s < 0, -s, s) + 1e-300
    r = sqrt(x * x + y * y) + EPS
    k = w * ((rnd * u1 + (1 - rnd) * r) - holes) * power(power(c, n2) + power(s, n3), -1 / n1) / r
    return k * x, k * y


def v_flower(x, y, w, u1, petals, holes):
    """Petals."""
    k = w * (u1 - holes) * cos(petals * atan2(y, x)) / (sqrt(x * x + y * y) + EPS)
    return k * x, k * y


def v_conic(x, y, w, u1, eccentricity, holes):
    """Conic sections about a focus."""
    r = sqrt(x * x + y * y) + EPS
    k = w * (u1 - holes) * eccentricity / (1 + eccentricity * x / r) / r
    return k * x, k * y


def v_parabola(x, y, w, u1, u2, height, width):
    """w (height sin^2 r u, width cos r v)."""
    r = sqrt(x * x + y * y)
    return w * height * sin(r) * sin(r) * u1, w * width * cos(r) * u2


def v_bent2(x, y, w, p_x, p_y):
    """As bent, by parameters."""
    return w * where(x < 0, p_x * x, x), w * where(y < 0, p_y * y, y)


def v_bipolar(x, y, w, shift):
    """Bipolar coordinates."""
    r2 = x * x + y * y
    t = 0.5 * atan2(2 * y, r2 - 1) - 0.5 * pi * shift
    t = where(
        t > 0.5 * pi, -0.5 * pi + fmod(t + 0.5 * pi, pi), where(t < -0.5 * pi, 0.5 * pi - fmod(0.5 * pi - t, pi), t)
    )
    f, g = r2 + 1 + 2 * x, r2 + 1 - 2 * x
    good = both(g > 0, f > 0)
    k = log(where(good, f, 1.0 + 0.0 * f) / where(good, g, 1.0 + 0.0 * g))
    return where(good, w * 0.5 / pi * k, 0.0 * k), where(good, w * 2 / pi * t, 0.0 * t)


def v_boarders(x, y, w, u1):
    """Squares with frames."""
    ix, iy = rint(x), rint(y)
    ox, oy = x - ix, y - iy
    ax, ay = where(ox < 0, -ox, ox), where(oy < 0, -oy, oy)
    wide = ax >= ay
    sx, sy = where(ox >= 0, 0.25 + 0.0 * ox, -0.25 + 0.0 * ox), where(oy >= 0, 0.25 + 0.0 * oy, -0.25 + 0.0 * oy)
    px = where(wide, sx, sy * ox / where(oy == 0, 1.0 + 0.0 * oy, oy))
    py = where(wide, sx * oy / where(ox == 0, 1.0 + 0.0 * ox, ox), sy)
    inside = u1 >= 0.75
    return (
        w * (0.5 * ox + ix + where(inside, 0.0 * px, px)),
        w * (0.5 * oy + iy + where(inside, 0.0 * py, py)),
    )


def v_butterfly(x, y, w):
    """Wings."""
    a = where(x * y < 0, -x * y, x * y)
    k = w * 1.3029400317411197908970256609023 * sqrt(a / (EPS + x * x + 4 * y * y))
    return k * x, k * 2 * y


def v_cell(x, y, w, size):
    """The plane's cells drawn apart."""
    ix, iy = floor(x / size), floor(y / size)
    dx, dy = x - ix * size, y - iy * size
    ix, iy = where(ix >= 0, 2 * ix, -(2 * ix + 1)), where(iy >= 0, 2 * iy, -(2 * iy + 1))
    return w * (dx + ix * size), -w * (dy + iy * size)


def v_cpow(x, y, w, u1, p_r, i, p_power):
    """A complex power, one of its branches."""
    l, a = 0.5 * log(x * x + y * y + 1e-300), atan2(y, x)
    c, d = p_r / p_power, i / p_power
    t, m = c * a + d * l + 2 * pi / p_power * floor(p_power * u1), w * exp(c * l - d * a)
    return m * cos(t), m * sin(t)


def v_curve(x, y, w, xamp, yamp, xlength, ylength):
    """Bumps along the axes."""
    a, b = xlength * xlength + 1e-20, ylength * ylength + 1e-20
    return w * (x + xamp * exp(-y * y / a)), w * (y + yamp * exp(-x * x / b))


def v_edisc(x, y, w):
    """An elliptic disc."""
    t = x * x + y * y + 1
    a, b = t + 2 * x, t - 2 * x
    m = 0.5 * (sqrt(where(a < 0, 0.0 * a, a)) + sqrt(where(b < 0, 0.0 * b, b)))
    m = where(m < 1, 1.0 + 0.0 * m, m)
    a1 = log(m + sqrt(m - 1))
    q = x / m
    a2 = -acos(where(q > 1, 1.0 + 0.0 * q, where(q < -1, -1.0 + 0.0 * q, q)))
    s = sin(a1)
    s = where(y > 0, -s, s)
    k = w / 11.57034632
    return k * cosh(a2) * cos(a1), k * sinh(a2) * s


def v_elliptic(x, y, w):
    """Elliptic coordinates."""
    t = x * x + y * y + 1
    a, b = t + 2 * x, t - 2 * x
    m = 0.5 * (sqrt(where(a < 0, 0.0 * a, a)) + sqrt(where(b < 0, 0.0 * b, b)))
    q = x / m
    c, d = 1 - q * q, m - 1
    c, d = sqrt(where(c < 0, 0.0 * c, c)), sqrt(where(d < 0, 0.0 * d, d))
    k = w * 2 / pi
    l = log(m + d)
    return k * atan2(q, c), k * where(y > 0, l, -l)


def v_escher(x, y, w, beta):
    """Escher's print gallery: z^((1 + e^(i beta)) / 2)."""
    l, a = 0.5 * log(x * x + y * y + 1e-300), atan2(y, x)
    t = beta + 0.0 * x
    c, d = 0.5 * (1 + cos(t)), 0.5 * sin(t)
    m, n = w * exp(c * l - d * a), c * a + d * l
    return m * cos(n), m * sin(n)


def v_foci(x, y, w):
    """Two foci."""
    p = 0.5 * exp(x)
    q = 0.25 / p
    k = w / (p + q - cos(y))
    return k * (p - q), k * sin(y)


def v_lazysusan(x, y, w, spin, space, twist, p_x, p_y):
    """A turned disc of radius w."""
    a, b = x - p_x, y + p_y
    r = sqrt(a * a + b * b) + EPS
    t = atan2(b, a) + spin + twist * (w - r)
    inside = r < w
    k = w * (1 + space / r)
    return where(inside, w * r * cos(t), k * a) + p_x, where(inside, w * r * sin(t), k * b) - p_y


def v_loonie(x, y, w):
    """Turned inside out within radius w; the middle goes to infinity, so that an orbit there begins anew."""
    r2 = x * x + y * y
    t = w * w / r2 - 1
    k = where(t > 0, w * sqrt(where(t > 0, t, 0.0 * t)), w + 0.0 * t)
    return k * x, k * y


def v_pre_blur(x, y, w, u1, u2, u3, u4, u5):
    """Added before the others: about normal."""
    g = w * (u1 + u2 + u3 + u4 - 2)
    return g * cos(2 * pi * u5), g * sin(2 * pi * u5)


def v_modulus(x, y, w, p_x, p_y):
    """Wrapped into a rectangle."""
    a, b = p_x + 1e-300, p_y + 1e-300
    fx = where(x > p_x, -p_x + fmod(x + p_x, 2 * a), where(x < -p_x, p_x - fmod(p_x - x, 2 * a), x))
    fy = where(y > p_y, -p_y + fmod(y + p_y, 2 * b), where(y < -p_y, p_y - fmod(p_y - y, 2 * b), y))
    return w * fx, w * fy


def v_oscilloscope(x, y, w, separation, frequency, amplitude, damping):
    """Mirrored within a wave."""
    a = where(x < 0, -x, x)
    t = amplitude * exp(-a * damping) * cos(2 * pi * frequency * x) + separation
    return w * x, w * where(where(y < 0, -y, y) <= t, -y, y)


def v_polar2(x, y, w):
    """w / pi (theta, log r)."""
    return w / pi * atan2(x, y), w / pi * 0.5 * log(x * x + y * y + 1e-300)


def v_popcorn2(x, y, w, p_x, p_y, c):
    """As popcorn, by parameters."""
    return w * (x + p_x * sin(tan(c * y))), w * (y + p_y * sin(tan(c * x)))


def v_scry(x, y, w):
    """(x, y) / (r (r^2 + 1 / w))."""
    t = x * x + y * y
    k = 1 / (sqrt(t) * (t + 1 / (w + EPS)) + 1e-300)
    return k * x, k * y


def v_separation(x, y, w, p_x, xinside, p_y, yinside):
    """Halves drawn apart."""
    a, b = sqrt(x * x + p_x * p_x), sqrt(y * y + p_y * p_y)
    return (
        w * where(x > 0, a - x * xinside, -(a + x * xinside)),
        w * where(y > 0, b - y * yinside, -(b + y * yinside)),
    )


def v_split(x, y, w, xsize, ysize):
    """Stripes mirrored."""
    return w * where(cos(y * ysize * pi) >= 0, x, -x), w * where(cos(x * xsize * pi) >= 0, y, -y)


def v_splits(x, y, w, p_x, p_y):
    """Quadrants moved apart."""
    return w * where(x >= 0, x + p_x, x - p_x), w * where(y >= 0, y + p_y, y - p_y)


def v_stripes(x, y, w, space, warp):
    """Stripes with gaps."""
    i = floor(x + 0.5)
    o = x - i
    return w * (o * (1 - space) + i), w * (y + o * o * warp)


def v_wedge(x, y, w, angle, hole, count, swirl):
    """Wedges cut out of the plane."""
    r = sqrt(x * x + y * y)
    a = atan2(y, x) + swirl * r
    c = floor((count * a + pi) / (2 * pi))
    a = a * (1 - angle * count / (2 * pi)) + c * angle
    r = w * (r + hole)
    return r * cos(a), r * sin(a)


def v_wedge_julia(x, y, w, u1, angle, count, p_power, dist):
    """Wedges of roots."""
    r = w * power(x * x + y * y + 1e-300, dist / p_power * 0.5)
    n = where(p_power < 0, -p_power + 0.0 * x, p_power + 0.0 * x)
    a = (atan2(y, x) + 2 * pi * trunc(n * u1)) / p_power
    c = floor((count * a + pi) / (2 * pi))
    a = a * (1 - angle * count / (2 * pi)) + c * angle
    return r * cos(a), r * sin(a)


def v_wedge_sph(x, y, w, angle, hole, count, swirl):
    """Wedges, inverted."""
    r = 1 / (sqrt(x * x + y * y) + EPS)
    a = atan2(y, x) + swirl * r
    c = floor((count * a + pi) / (2 * pi))
    a = a * (1 - angle * count / (2 * pi)) + c * angle
    r = w * (r + hole)
    return r * cos(a), r * sin(a)


def v_whorl(x, y, w, inside, outside):
    """Turned, ever faster towards radius w."""
    r = sqrt(x * x + y * y)
    a = atan2(y, x) + where(r < w, inside + 0.0 * r, outside + 0.0 * r) / (w - r)
    return w * r * cos(a), w * r * sin(a)


def v_waves2(x, y, w, freqx, scalex, freqy, scaley):
    """w (x + sx sin(fx y), y + sy sin(fy x))."""
    return w * (x + scalex * sin(y * freqx)), w * (y + scaley * sin(x * freqy))


def v_exp(x, y, w):
    """e^z."""
    k = w * exp(x)
    return k * cos(y), k * sin(y)


def v_log(x, y, w):
    """log z."""
    return w * 0.5 * log(x * x + y * y + 1e-300), w * atan2(y, x)


def v_sin(x, y, w):
    """sin z."""
    return w * sin(x) * cosh(y), w * cos(x) * sinh(y)


def v_cos(x, y, w):
    """cos z."""
    return w * cos(x) * cosh(y), -w * sin(x) * sinh(y)


def v_tan(x, y, w):
    """tan z."""
    k = w / (cos(2 * x) + cosh(2 * y))
    return k * sin(2 * x), k * sinh(2 * y)


def v_sec(x, y, w):
    """1 / cos z."""
    k = 2 * w / (cos(2 * x) + cosh(2 * y))
    return k * cos(x) * cosh(y), k * sin(x) * sinh(y)


def v_csc(x, y, w):
    """1 / sin z."""
    k = 2 * w / (cosh(2 * y) - cos(2 * x))
    return k * sin(x) * cosh(y), -k * cos(x) * sinh(y)


def v_cot(x, y, w):
    """1 / tan z, its imaginary part as flames have it."""
    k = w / (cosh(2 * y) - cos(2 * x))
    return k * sin(2 * x), -k * sinh(2 * y)


def v_sinh(x, y, w):
    """sinh z."""
    return w * sinh(x) * cos(y), w * cosh(x) * sin(y)


def v_cosh(x, y, w):
    """cosh z."""
    return w * cosh(x) * cos(y), w * sinh(x) * sin(y)


def v_tanh(x, y, w):
    """tanh z."""
    k = w / (cos(2 * y) + cosh(2 * x))
    return k * sinh(2 * x), k * sin(2 * y)


def v_sech(x, y, w):
    """1 / cosh z."""
    k = 2 * w / (cos(2 * y) + cosh(2 * x))
    return k * cos(y) * cosh(x), -k * sin(y) * sinh(x)


def v_csch(x, y, w):
    """1 / sinh z."""
    k = 2 * w / (cosh(2 * x) - cos(2 * y))
    return k * sinh(x) * cos(y), -k * cosh(x) * sin(y)


def v_coth(x, y, w):
    """1 / tanh z, its imaginary part as flames have it."""
    k = w / (cosh(2 * x) - cos(2 * y))
    return k * sinh(2 * x), k * sin(2 * y)


def v_auger(x, y, w, sym, p_weight, freq, scale):
    """Waves across each other."""
    s, t = sin(freq * x), sin(freq * y)
    dy = y + p_weight * (0.5 * scale * s + where(y < 0, -y, y) * s)
    dx = x + p_weight * (0.5 * scale * t + where(x < 0, -x, x) * t)
    return w * (x + sym * (dx - x)), w * dy


def v_flux(x, y, w, spread):
    """Field lines of two poles."""
    p, q = x + w, x - w
    r = w * (2 + spread) * sqrt(sqrt((y * y + p * p) / (y * y + q * q + 1e-300)))
    a = 0.5 * (atan2(y, q) - atan2(y, p))
    return r * cos(a), r * sin(a)


def v_mobius(x, y, w, re_a, im_a, re_b, im_b, re_c, im_c, re_d, im_d):
    """(a z + b) / (c z + d)."""
    p, q = re_a * x - im_a * y + re_b, re_a * y + im_a * x + im_b
    s, t = re_c * x - im_c * y + re_d, re_c * y + im_c * x + im_d
    k = w / (s * s + t * t + 1e-300)
    return k * (p * s + q * t), k * (q * s - p * t)
