"""The flames of JWildfire Swan are compared as that program draws them."""

from fractalkit.codes.flame import read_flames
from recipes.benchmarks.flames_swan import as_there

TURNED = "0.6 0.8 -0.8 0.6 1 2"
TEXT = f"""<flame version="JWildfire V7.30" rotate="30" cam_pitch="0.5" cam_persp="0.2" cam_dof="%s">
<xform weight="1" color="0" linear3D="1" dc_worley="0.5" zxCoefs="{TURNED}"/>
<xform weight="1" color="1" bubble="1" yzPost="0 1 -1 0 5 6" zxPost="{TURNED}"/>
<finalxform color="1" symmetry="0" linear3D="1"/>
<color index="0" rgb="0 0 0"/><color index="255" rgb="255 255 255"/></flame>"""


def test_what_swan_does_otherwise():
    plain, blurred = (as_there(read_flames((TEXT % dof).encode())[0]) for dof in ("0", "0.1"))
    first, second = plain.xforms
    assert first.variations == {"linear3D": 1.0}  # dc_worley is not known there
    assert first.zx_coefs == (1, 0, 0, 1, 1, 2)  # the linear part of yzCoefs, with its own offset
    assert second.zx_post == (0, 1, -1, 0, 1, 2)
    assert second.variations == {"bubble": 1.0}
    assert plain.final.color_speed == 0.0
    assert (plain.cam_pitch, plain.cam_persp, plain.rotate) == (0.5, 0.2, 30.0)
    assert (blurred.cam_pitch, blurred.cam_persp, blurred.cam_dof, blurred.rotate) == (0.0, 0.0, 0.0, 0.0)
