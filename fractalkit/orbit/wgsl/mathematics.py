"""The functions that formulas call, in WGSL.

WGSL promises little of its sines (2^-11 absolutely, in [-pi, pi] alone), and its exponentials and logarithms differ
between devices. These are our own, in float32, with polynomials fitted at Chebyshev nodes; errors are some units in
the last place, as long as arguments of sines are below about 1e4. They follow :mod:`fractalkit.maps.fast_math`, so that
orbits that run into an axis or a pole go the same way.

Devices may ignore that numbers can be infinite or none. What depends on it looks at bits instead.
"""

MATHEMATICS = """
var<private> nan_bits: u32 = 0x7fc00000u;
fn none() -> f32 { return bitcast<f32>(nan_bits); }
fn minus(x: f32) -> bool { return (bitcast<u32>(x) >> 31u) == 1u; }
fn within(x: f32, most: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) < bitcast<u32>(most); }
fn turned(x: f32, quarter: i32) -> f32 {  // sin(x + quarter pi / 2)
  let n = round(clamp(x, -1e9f, 1e9f) * 0.63661977f);
  let r = clamp(((x - n * 1.5703125f) - n * 4.8375129699707031e-4f) - n * 7.5497899548918822e-8f, -0.8f, 0.8f);
  let s = r * r;
  let sine = r + r * s * (-0.16666664f + s * (0.008332684f + s * -0.00019574564f));
  let cosine = 1.0f - 0.5f * s + s * s * (0.041666664f + s * (-0.0013888208f + s * 2.4530887e-05f));
  let turn = (i32(n) + quarter) & 3;
  let v = select(sine, cosine, (turn & 1) == 1);
  return select(v, -v, (turn & 2) == 2);
}
fn k_sin(x: f32) -> f32 { return turned(x, 0); }
fn k_cos(x: f32) -> f32 { return turned(x, 1); }
fn k_tan(x: f32) -> f32 { return turned(x, 0) / turned(x, 1); }
fn k_exp(x: f32) -> f32 {
  let within_range = clamp(x, -87.0f, 88.0f);
  let n = round(within_range * 1.4426950f);
  let r = (within_range - n * 0.69335938f) + n * 2.1219444e-4f;
  let p = 1.0f + r * (1.0f + r * (0.5f + r * (0.16666667f + r * (0.041666668f + r * (0.0083333338f
    + r * (0.0013888889f + r * 0.00019841270f))))));
  return p * bitcast<f32>(u32(i32(n) + 127) << 23u);
}
fn k_log(x: f32) -> f32 {
  let bits = bitcast<u32>(max(abs(x), 1.1754944e-38f));
  let e = i32((bits + 0x004afb0du) >> 23u) - 127;  // so that the mantissa is in [sqrt(1/2), sqrt(2))
  let m = bitcast<f32>(bits - (u32(e) << 23u));
  let f = (m - 1.0f) / (m + 1.0f);
  let s = f * f;
  let p = 2.0f * f * (1.0f + s * (0.33333333f + s * (0.2f + s * (0.14285715f + s * 0.11111111f))));
  let n = f32(e);
  let out = n * 0.69335938f + (n * -2.1219444e-4f + p);
  return select(select(out, -708.4f, x == 0.0f), none(), x < 0.0f);
}
fn k_atan2(y: f32, x: f32) -> f32 {
  let a = abs(x);
  let b = abs(y);
  let t = min(a, b) / max(max(a, b), 1e-30f);
  let s = t * t;
  let p = 1.0f + s * (-0.33333066f + s * (0.19992484f + s * (-0.14202571f + s * (0.10636754f + s * (-0.074954458f
    + s * (0.042587608f + s * (-0.01600503f + s * 0.0028340642f)))))));
  var g = t * p;
  g = select(g, 1.5707963f - g, b > a);
  g = select(g, 3.1415927f - g, minus(x));
  return select(g, -g, minus(y));
}
fn k_acos(x: f32) -> f32 { return select(none(), k_atan2(sqrt(max(1.0f - x * x, 0.0f)), x), abs(x) <= 1.0f); }
fn k_power(a: f32, b: f32) -> f32 { return k_exp(b * k_log(a)); }
fn k_sinh(x: f32) -> f32 {
  let e = k_exp(abs(x));
  let s = x * x;
  let small = x * (1.0f + s * (0.16666667f + s * (0.0083333338f + s * 0.00019841270f)));
  let large = 0.5f * (e - 1.0f / e);
  return select(select(large, -large, x < 0.0f), small, s < 0.25f);
}
fn k_cosh(x: f32) -> f32 { let e = k_exp(abs(x)); return 0.5f * (e + 1.0f / e); }
fn k_sqrt(x: f32) -> f32 { return select(none(), sqrt(max(x, 0.0f)), x >= 0.0f); }
fn k_fmod(a: f32, b: f32) -> f32 { return fma(-b, trunc(a / b), a); }
fn k_mod(a: f32, b: f32) -> f32 { return fma(-b, floor(a / b), a); }
fn k_min(a: f32, b: f32) -> f32 { return select(b, a, a < b); }
fn k_max(a: f32, b: f32) -> f32 { return select(b, a, a > b); }
fn k_abs(a: f32) -> f32 { return abs(a); }
fn k_floor(a: f32) -> f32 { return floor(a); }
fn k_trunc(a: f32) -> f32 { return trunc(a); }
fn k_rint(a: f32) -> f32 { return round(a); }
fn power_2(a: f32) -> f32 { return a * a; }
fn power_3(a: f32) -> f32 { return a * a * a; }
fn power_4(a: f32) -> f32 { let s = a * a; return s * s; }
fn both(a: bool, b: bool) -> bool { return a & b; }
fn either(a: bool, b: bool) -> bool { return a | b; }
fn negate(a: bool) -> bool { return !a; }
fn k_hash(i: f32, j: f32, k: f32) -> f32 {
  var h = u32(i32(i)) * 374761393u + u32(i32(j)) * 668265263u + u32(i32(k)) * 1274126177u;
  h = (h ^ (h >> 15u)) * 2246822519u;
  h = (h ^ (h >> 13u)) * 3266489917u;
  h = h ^ (h >> 16u);
  return f32(h >> 8u) * 5.9604645e-08f;
}
"""
