"""Short programs as a new user writes them, each with the fact that shows that it worked.

They run in a folder with ``cloud.ply`` (300 coloured points in space), ``photo.jpg`` (64 x 48), ``two.flame`` (two
flames) and ``leaf.csv`` (points of the plane). What stands after the program is evaluated with its names.
"""

PROGRAMS = {
    "open a cloud, fit, draw, save": ('''
import fractalkit as fk
cloud = fk.open("cloud.ply")
code = fk.fit(cloud, maps=3, effort=0, seed=0)
fk.render(code, (120, 90)).save("code.png")
code.save("code.ifs.json")
''', 'fk.open("code.png").matrices.equal(fk.load("code.ifs.json").matrices)'),
    "compress a picture in memory": ('''
from PIL import Image
import fractalkit
data = fractalkit.compress(Image.open("photo.jpg"), quality=60).to_bytes()
back = fractalkit.decompress(data)
''', 'back.shape == (48, 64, 3) and len(data) < 3000'),
    "sample digits to a tensor": ('''
import fractalkit
digits = fractalkit.sample("vdvae_mnist", 3, (56, 56), seed=1)
fractalkit.save(digits, "digits.png")
sheet = fractalkit.open("digits.png")
''', 'digits.shape == (3, 1, 56, 56) and 0 <= digits.min() and digits.max() <= 1 and sheet.shape == (112, 112)'),
    "a map of one's own": ('''
import torch
from fractalkit import solve
from fractalkit.core import IteratedMap
class Cosine(IteratedMap):
    def step(self, x): return torch.cos(x)
    def start(self): return torch.zeros(1)
    def distance(self, x, y): return (x - y).abs()
x = solve(Cosine()).value
''', 'abs(float(x) - 0.7390851) < 1e-4'),
    "a collage as a layer": ('''
import torch
from fractalkit.codes import CollageCode
from fractalkit.maps import decode
brightness = torch.rand(1, 3, 4, 4, requires_grad=True)
code = CollageCode(contrast=torch.full((1, 3, 4, 4), 0.5), brightness=brightness)
decode(code, 32, 32).sum().backward()
''', 'brightness.grad.abs().min() > 0'),
    "a new variation": ('''
from fractalkit import load_variations
from fractalkit.codes import Flame, Xform
from fractalkit.render import render_flame
open("my.variations", "w").write("variation wobble(rate=2):\\n    return w * sin(rate * y), w * x\\n")
load_variations("my.variations")
picture = render_flame(Flame(xforms=(Xform(weight=1, variations={"wobble": 1.0}),)), size=(40, 30), quality=2)
''', 'picture.shape == (30, 40, 3)'),
    "another palette": ('''
import fractalkit
one = fractalkit.render("barnsley-fern", (80, 60))
other = fractalkit.render("barnsley-fern", (80, 60), palette="viridis")
''', '(one != other).any()'),
    "a film of flames": ('''
import fractalkit
fractalkit.animate("two.flame", "film.gif", frames=3, size=(48, 36), quality=2)
''', 'Image.open("film.gif").n_frames == 3'),
    "a zoom": ('''
import fractalkit
fractalkit.animate("sierpinski-triangle", "dive.gif", frames=3, size=(48, 36), depth=100)
''', 'Image.open("dive.gif").size == (48, 36)'),
    "the attractor of arrays": ('''
import numpy as np
from fractalkit.codes import AffineIFS
import fractalkit
code = AffineIFS(np.array([np.eye(2) / 2] * 3), [[0, 0], [0.5, 0], [0.25, 0.433]])
points = fractalkit.sample(code, 500)
''', 'points.shape == (500, 2)'),
    "points to a file": ('''
import fractalkit
points = fractalkit.sample("sierpinski-tetrahedron", 1000)
fractalkit.save(points, "points.ply")
''', 'len(fractalkit.open("points.ply")) == 1000'),
    "a photograph of itself": ('''
import fractalkit
code = fractalkit.fractalize("photo.jpg", tiles=8)
fractalkit.render(code, (320, 240)).save("mosaic.jpg")
''', 'Image.open("mosaic.jpg").size == (320, 240)'),
    "a part of a compressed picture": ('''
import fractalkit
fractalkit.compress("photo.jpg", quality=50).save("photo.fk")
code = fractalkit.load("photo.fk")
large = fractalkit.decompress(code, (256, 192))
corner = fractalkit.decompress(code, (256, 192), window=(0, 0, 100, 50))
''', '(large[:50, :100] == corner).all()'),
    "how close is the fit": ('''
from fractalkit.data import load_cloud
from fractalkit.fit import compare_clouds, fit_cloud
from fractalkit.orbit import sample
cloud = load_cloud("leaf.csv")
code = fit_cloud(cloud, maps=4, effort=0)
error = compare_clouds(sample(code, 400).points, cloud.points).chamfer
''', '0 < error < 0.2'),
    "NumPy and Pillow": ('''
import numpy as np
import fractalkit
picture = fractalkit.render("heighway-dragon", (60, 40))
half = picture[::2, ::2]
mean = np.asarray(picture).mean()
picture.pil.rotate(90).save("turned.png")
''', 'half.shape == (20, 30, 3) and mean > 0 and fractalkit.open("turned.png").shape == (40, 60, 3)'),
    "a tensor of a picture": ('''
import fractalkit
x = fractalkit.open("photo.jpg").tensor()
code = fractalkit.compress(x, bpp=2)
''', 'x.shape == (3, 48, 64) and fractalkit.decompress(code).shape == (48, 64, 3)'),
    "a flame at another size": ('''
from fractalkit import load, render
flame = load("two.flame")
picture = render(flame, (64, 48), quality=3)
picture.save("flame.png")
''', 'load("flame.png").name == flame.name and picture.shape == (48, 64, 3)'),
    "the moments of a code": ('''
from fractalkit import preset
from fractalkit.codes.moments import mean
middle = mean(preset("sierpinski-triangle"))
''', 'middle.shape == (2,)'),
    "a cloud as a collage": ('''
import fractalkit
code = fractalkit.fit("cloud.ply", maps=16, method="collage", effort=0)
points = fractalkit.sample(code, 2000)
''', 'points.shape == (2000, 3)'),
    "show in a notebook": ('''
from fractalkit import open, preset
shown = [x._repr_png_() for x in (open("cloud.ply"), preset("heighway-dragon"), open("photo.jpg"), open("two.flame"))]
''', 'all(png.startswith(b"\\x89PNG") for png in shown)'),
}  # fmt: skip
