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
    "a photograph twice as large": ('''
import fractalkit
big = fractalkit.enlarge("photo.jpg", "2x", detail=1)
big.save("big.png")
''', 'big.shape == (96, 128, 3)'),
    "a mosaic, shrunk by Pillow": ('''
import fractalkit
mosaic = fractalkit.fractalize("photo.jpg", tiles=16, texture=0.5)
mosaic.pil.resize((400, 300)).save("small.png")
''', 'mosaic.shape == (1080, 1440, 3) and Image.open("small.png").size == (400, 300)'),
    "between two codes": ('''
import fractalkit
from fractalkit.codes.algebra import interpolate
a, b = fractalkit.open("barnsley-fern"), fractalkit.preset("culcita-fern")
half = interpolate(a, b, 0.5)
fractalkit.render(half, 300).save("half.png")
''', 'len(half) == 4 and fractalkit.load("half.png").matrices.equal(half.matrices)'),
    "pictures of a model, one by one": ('''
import fractalkit
model = fractalkit.open("vdvae_mnist")
pictures = model.sample(3, seed=3)
for i, picture in enumerate(pictures):
    picture.save(f"digit{i}.png")
''', 'len(pictures) == 3 and pictures.shape[2:] == (28, 28) and fractalkit.open("digit2.png").shape == (28, 28)'),
    "a cloud from NumPy": ('''
import numpy as np
import fractalkit
t = np.linspace(0, 40, 2000)
fractalkit.save(np.stack([t * np.cos(t), t * np.sin(t), t], axis=1), "spiral.ply")
cloud = fractalkit.open("spiral.ply")
picture = fractalkit.render(cloud, (200, 150))
''', 'cloud.points.shape == (2000, 3) and picture.std() > 3'),
    "rate and distortion": ('''
import numpy as np
from PIL import Image
import fractalkit
photo = np.asarray(Image.open("photo.jpg"))
sizes, errors = [], []
for quality in (20, 70):
    code = fractalkit.compress(photo, quality=quality)
    sizes.append(len(code.to_bytes()))
    errors.append(((fractalkit.decompress(code).astype(float) - photo) ** 2).mean())
''', 'sizes[0] < sizes[1] and errors[0] > errors[1]'),
    "a window at four times the size": ('''
import fractalkit
code = fractalkit.compress("photo.jpg", psnr=32)
fractalkit.save(code, "photo.fk")
part = fractalkit.decompress("photo.fk", "4x", window=(100, 60, 200, 140))
''', 'part.shape == (80, 100, 3)'),
    "a variation registered": ('''
import fractalkit
from fractalkit.codes import Flame, Xform
fractalkit.register_variation("shiver", "w * (x + a * sin(20 * y)), w * y", a=0.1)
flame = Flame(xforms=(Xform(weight=1, coefs=(0.5, 0, 0, 0.5, 0.5, 0), variations={"shiver": 1.0}),
                      Xform(weight=1, coefs=(0.5, 0, 0, 0.5, -0.5, 0.3), variations={"linear": 1.0})), scale=20)
picture = fractalkit.render(flame, (60, 50), quality=20)
''', 'picture.shape == (50, 60, 3) and picture.std() > 3'),
    "points turned, and fitted": ('''
import torch
import fractalkit
from fractalkit.codes.dimension import similarity_dimension
code = fractalkit.open("sierpinski-triangle")
dimension = float(similarity_dimension(code))
points = fractalkit.sample(code, 500, seed=0) @ torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
found = fractalkit.fit(points, maps=3, seed=0, effort=0)
''', 'abs(dimension - 1.585) < 1e-3 and found.matrices.shape == (3, 2, 2)'),
    "noise removed": ('''
import numpy as np
import fractalkit
from fractalkit.fit import denoise
photo = fractalkit.open("photo.jpg")
noisy = np.clip(photo + np.random.default_rng(0).normal(0, 20, photo.shape), 0, 255).astype(np.uint8)
clean = denoise(noisy, shifts=2)
fractalkit.save(clean, "clean.png")
''', '((clean - photo.astype(float)) ** 2).mean() < ((noisy - photo.astype(float)) ** 2).mean()'),
    "a histogram as a picture": ('''
import numpy as np
import fractalkit
from fractalkit.orbit import histogram
counts = histogram(fractalkit.open("heighway-dragon"), 200_000, shape=(256, 256)).counts
image = np.log1p(counts.numpy())
fractalkit.save(image / image.max(), "dragon.png")
''', 'np.asarray(Image.open("dragon.png")).max() == 255'),
    "two pictures of one digit": ('''
import fractalkit
model = fractalkit.open("vdvae_mnist")
sevens = model.sample(2, 56, digit=7, seed=5)
sevens[0].save("seven.png")
''', 'sevens.shape == (2, 1, 56, 56) and sevens.equal(model.sample(2, 56, label=7, seed=5))'),
    "a part of an attractor": ('''
import numpy as np
import fractalkit
code = fractalkit.open("sierpinski-triangle")
part = fractalkit.render(code, 640, window=(288, 64, 352, 128))
same = fractalkit.render(code, 640, window="45%,10%,55%,20%")
pixels = np.asarray(part)
''', 'pixels.shape == (64, 64, 3) and pixels.std() > 10 and (pixels == same).all()'),
    "colours of one's own": ('''
import numpy as np
import fractalkit
ramp = np.linspace([0, 0, 80], [255, 255, 255], 256).astype(np.uint8)
blue = fractalkit.render("barnsley-fern", 60, palette=ramp)
opal = fractalkit.render("barnsley-fern", 60, palette="opal")
side = fractalkit.render("cloud.ply", (60, 40), up="x")
''', '(blue[..., 2] >= blue[..., 0]).all() and (blue != opal).any() and side.shape == (40, 60, 3)'),
    "a variation that sets r": ('''
import fractalkit
from fractalkit.codes import Flame, Xform
fractalkit.register_variation("eddy", "r = sqrt(x*x + y*y)\\nreturn w * cos(r) * x, w * sin(r) * y")
parts = [(0.5, 0, 0, 0.5, 0.4, 0), (0.5, 0.4, -0.4, 0.5, -0.4, 0)]
flame = Flame(xforms=tuple(Xform(weight=1, coefs=c, variations={"eddy": 1.0}) for c in parts))
picture = fractalkit.render(flame, (60, 50), quality=5)
''', 'picture.std() > 3'),
    "relatives of a flame": ('''
import fractalkit
from fractalkit.codes import breed, mutate
a, b = fractalkit.codes.load_all("two.flame")
child = breed(mutate(a, seed=1), b, seed=2)
child.save("child.flame")
''', 'len(fractalkit.open("child.flame").xforms) == len(child.xforms) and mutate(a, 1).xforms == mutate(a, 1).xforms'),
    "one code into another": ('''
import fractalkit
codes = [fractalkit.preset("barnsley-fern"), fractalkit.preset("sierpinski-triangle")]
fractalkit.animate(codes, "between.gif", frames=4, size=(48, 48))
''', 'Image.open("between.gif").n_frames == 4'),
    "a gradient through points": ('''
import torch
import fractalkit
matrices = torch.eye(2).mul(0.5).repeat(3, 1, 1).requires_grad_()
code = fractalkit.codes.AffineIFS(matrices, torch.tensor([[0.0, 0], [0.5, 0], [0.25, 0.433]]))
fractalkit.sample(code, 500, seed=1).var().backward()
''', 'matrices.grad.abs().max() > 1e-3'),
    "a network of one's own": ('''
import torch
import fractalkit
@fractalkit.register_model("newcomer")
class Net(fractalkit.models.Pretrained):
    def __init__(self, width=4):
        super().__init__()
        self.layer = torch.nn.Linear(width, width)
Net(width=3).save_pretrained("net.safetensors")
net = fractalkit.open("net.safetensors")
''', 'net.layer.weight.shape == (3, 3) and net.settings() == {"width": 3}'),
    "without loss, in memory": ('''
import numpy as np
import fractalkit
pixels = np.zeros((40, 60, 3), np.uint8)
pixels[10:20, 10:50] = 255, 80, 0
data = fractalkit.compress(pixels, lossless=True).to_bytes()
''', 'len(data) < 100 and (fractalkit.decompress(data) == pixels).all()'),
    "a cloud in a thousand bytes": ('''
import fractalkit
code = fractalkit.compress("cloud.ply", bytes=1000)
print(code)
cloud = fractalkit.decompress(code.to_bytes(), points=5000)
cloud.save("back.ply")
''', 'len(code.to_bytes()) <= 1000 and len(fractalkit.open("back.ply")) == 5000 and len(repr(code)) < 500'),
    "without loss, by Pillow": ('''
from PIL import Image
import fractalkit.pil_plugin
image = Image.new("RGB", (64, 48), "white")
image.paste((200, 30, 10), (10, 10, 30, 40))
image.save("box.fk", lossless=True)
same = Image.open("box.fk").convert("RGB")
''', 'same.tobytes() == image.tobytes()'),
    "a size in words": ('''
import fractalkit
a = fractalkit.render("barnsley-fern", width=80, height=60, seed=3)
b = fractalkit.render("barnsley-fern", size=(80, 60), seed=3)
c = fractalkit.render("barnsley-fern", res="80x60", seed=3)
''', '(a == b).all() and (a == c).all() and a.shape == (60, 80, 3)'),
    "points that save themselves": ('''
import numpy as np
import fractalkit
points = fractalkit.sample("sierpinski-tetrahedron", n_points=500, rng=np.random.default_rng(0))
points[points[:, 2] > 0].save("upper.ply")
points.save("points.png")
centred = points - points.mean(0)
''', 'len(fractalkit.open("upper.ply")) < 500 and fractalkit.open("points.png").std() > 5'),
    "a fixed point of a function": ('''
import numpy as np
import torch
import fractalkit
x = fractalkit.solve(torch.cos, 0.0).value
A = np.array([[0.5, 0.1], [0, 0.3]])
y = fractalkit.solve(lambda y: A @ y + 1, np.zeros(2), tol=1e-9, max_iter=100)
''', 'abs(float(x) - 0.7390851) < 1e-5 and np.allclose(A @ y.value.numpy() + 1, y.value)'),
    "a fixed point from a start": ('''
import torch
import fractalkit
class Halve(fractalkit.IteratedMap):
    def step(self, x): return x / 2 + 1
solution = fractalkit.solve(Halve(), x0=torch.zeros(3))
''', 'solution.converged and (solution.value - 2).abs().max() < 1e-4'),
    "open files and bytes": ('''
import io
import fractalkit
with open("photo.jpg", "rb") as file:
    code = fractalkit.compress(file, bpp=1.0)
buffer = io.BytesIO()
fractalkit.decompress(io.BytesIO(bytes(code)), "2x", window="25%,25%,75%,75%").save(buffer, format="png")
picture = fractalkit.open(buffer.getvalue())
''', 'picture.shape == (48, 64, 3) and picture.std() > 10'),
    "a factor": ('''
import fractalkit
large = fractalkit.enlarge("photo.jpg", 2)
same = fractalkit.enlarge("photo.jpg", scale=2)
wide = fractalkit.enlarge("photo.jpg", width=96)
''', 'large.shape == (96, 128, 3) and (large == same).all() and wide.shape == (72, 96, 3)'),
    "pictures made of another": ('''
import numpy as np
import fractalkit
style = np.random.default_rng(0).random((40, 40, 3))
mosaic = fractalkit.fractalize("photo.jpg", tiles=6, size=72, style=style, self_weight=0)
mosaic.save("mosaic.jpg", quality=80)
''', 'mosaic.shape == (54, 72, 3) and mosaic.std() > 10'),
    "a film of a second": ('''
import fractalkit
fractalkit.animate("sierpinski-triangle", "dive.gif", depth=8, seconds=1, fps=4, size=48)
frames = [fractalkit.render("barnsley-fern", 40, seed=k) for k in range(3)]
fractalkit.save(frames, "three.gif")
''', 'Image.open("dive.gif").n_frames == 4 and Image.open("three.gif").n_frames == 3'),
    "numbers of NumPy": ('''
import numpy as np
import fractalkit
points = fractalkit.sample("maple-leaf", n=np.int64(100), seed=np.int64(1))
mask = np.zeros((20, 30), bool)
mask[5:15, 5:20] = True
fractalkit.save(mask, "mask.png")
leaf = fractalkit.render("maple-leaf", np.array([40, 30]), background="light", points=1e4)
''', 'points.shape == (100, 2) and set(np.unique(fractalkit.open("mask.png"))) == {0, 255} and leaf.mean() > 128'),
    "a code saved as a picture": ('''
import fractalkit
import matplotlib
fern = fractalkit.codes.AffineIFS([[[0.5, 0], [0, 0.5]]] * 3, [[0, 0], [0.5, 0], [0.25, 0.433]])
fractalkit.save(fern, "fern.jpg", quality=70)
red = fractalkit.render(fern, 60, palette=matplotlib.colormaps["magma"])
''', 'fractalkit.open("fern.jpg").std() > 10 and red.std() > 10'),
    "lists and plain numbers": ('''
import torch
import fractalkit
from fractalkit.codes import Flame, Xform
class Half(fractalkit.IteratedMap):
    def step(self, x): return 0.5 * x + 1
    def lipschitz(self): return 0.5
solution = fractalkit.solve(Half(), torch.zeros(1))
xform = Xform(weight=1, coefs=[0.5, 0, 0, 0.5, 0, 1], variations={"spherical": 1})
flame = Flame(xforms=[xform], size=(60, 40), scale=9)
''', 'solution.error_bound.max() < 1e-5 and fractalkit.render(flame, quality=3).shape == (40, 60, 3)'),
    "a film into a mosaic": ('''
import fractalkit
mosaic = fractalkit.fractalize("photo.jpg", tiles=6, size=48)
fractalkit.animate(mosaic, "dive.webp", depth=8, num_frames=3, size=40)
''', 'Image.open("dive.webp").n_frames == 3'),
    "pictures and codes, as Pillow and bytes have them": ('''
import fractalkit
code = fractalkit.compress("photo.jpg", bpp=1.0)
open("photo.fk", "wb").write(bytes(code))
small = fractalkit.decompress("photo.fk", size=(32, 24)).resize((16, 12))
tree = fractalkit.render("maple-leaf", 60, color="viridis", background="white")
''', 'len(code) == len(code.to_bytes()) and small.shape == (12, 16, 3) and tree.mean() > 128'),
    "a collage of a network": ('''
import torch, fractalkit
from fractalkit.maps import decode
net = torch.nn.Linear(16, 2 * 3 * 4 * 4)
contrast, brightness = net(torch.randn(2, 16)).view(2, 2, 3, 4, 4).unbind(1)
picture = decode(fractalkit.codes.CollageCode(0.9 * contrast.tanh(), brightness.sigmoid()), size=(48, 32))
((picture - 0.5) ** 2).mean().backward()
decode(fractalkit.codes.CollageCode(contrast * 0, torch.rand(2, 3, 4, 4)), (24, 24)).save("two.png")
''', 'picture.shape == (2, 3, 32, 48) and net.weight.grad.abs().max() > 0 and Image.open("two.png").size == (48, 24)'),
    "distances between clouds": ('''
import fractalkit
from fractalkit.fit import compare_clouds
report = compare_clouds(fractalkit.open("cloud.ply"), fractalkit.sample("sierpinski-tetrahedron", 300, seed=2))
digits = fractalkit.sample("vdvae_mnist", n=2, seed=1, device="cpu")
''', '0 < report.chamfer < report.hausdorff and report.f_score < 1 and len(digits) == 2'),
}  # fmt: skip
