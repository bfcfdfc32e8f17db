"""What a flame file says that no picture shows: variations this program lacks, and attributes without effect here.

Programs write hundreds of attributes that leave a still as it is: names, notes, motion curves that are switched off,
settings at the value that means nothing. They are kept and written back, and are not named. All others are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping

from fractalkit.codes.flame_curves import TONE_CURVES, readable

# attributes of maps without effect on a still, whatever they are
QUIET = frozenset((
    "name", "var_color", "version", "plugins", "new_linear", "nick", "url", "notes", "color second", "animate",
    "mirror_pre_post_translations", "plotmode", "auger_half_scale", "sunflower_color",
    "plane_wf_calc_color_idx", "plane_wf_receive_only_shadows", "plane_wf_blend_colormap", "plane_wf_blend_displ_map",
    "plane_wf_displ_amount",
))  # fmt: skip
# of flames
QUIET_FLAME = frozenset((
    "name", "version", "nick", "url", "notes", "comment", "plugins", "new_linear", "sub_batch_size", "fuse",
    "rand_range", "passes", "soloxform", "palette", "batches", "parent", "fit", "angle", "genome_version", "edit_time",
    "filter_type", "filter_kernel", "filter_indicator", "filter_sharpness", "filter_low_density", "bg_transparency",
    "resolution_profile", "quality_profile", "frame", "frame_count", "fps", "ai_post_denoiser_only_for_cpu",
    "post_optix_denoiser_blend", "post_noise_filter_threshold", "preserve_z", "temporal_filter", "motion_exp",
    "hsl_rgb_palette_blend", "affine_interp", "insert_palette", "earlyclip", "enable_de", "palette_interpolation",
    "edit_plane", "ai_post_denoiser", "layer_name", "antialias_amount", "antialias_radius", "background_type",
))  # fmt: skip
# attributes that have an effect, but not at these values
NEUTRAL: dict[str, tuple[str, ...]] = {
    "smooth_gradient": ("0",), "post_optix_denoiser": ("0",), "post_noise_filter": ("0",),
    "background_type": ("single_color",), "post_symmetry_type": ("none",),
    "mixer_mode": ("off",), "gradient_map": ("",), "background_image": ("",), "sld_render_enabled": ("0",),
    "logscale_k2": ("0",), "stereo3d_mode": ("none",), "visible": ("1",), "wfield_type": ("none",),
    "color_type": ("diffusion", "none", "distance"),
    "motion_blur_length": ("0",), "cam_zdimish": ("0",), "new_dof": ("0",), "post_blur_radius": ("0",),
    "cam_pos_x": ("0",), "cam_pos_y": ("0",), "cam_pos_z": ("0",),
    "background_ul": ("0 0 0",), "background_ur": ("0 0 0",), "background_ll": ("0 0 0",),
    "background_lr": ("0 0 0",), "background_cc": ("0 0 0",), "cam_dof_area": ("0.5",), "temporal_samples": ("1",),
    **{f"{p}waves2_{k}": ("0",) for p in ("", "pre_", "post_") for k in ("freqz", "scalez")},
    "plane_wf_colormap_filename": ("",), "plane_wf_displ_map_filename": ("",),
    **{f"{k}{s}": ("0",) for k in ("material", "mod_gamma", "mod_contrast", "mod_saturation", "mod_hue")
       for s in ("", "_speed")},
}  # fmt: skip
PRIORITIES = ("-2", "-1", "0", "1", "2")  # of JWildfire's variations
# attributes that belong to one of NEUTRAL and matter only with it
BELONGS = {
    "post_symmetry_": "post_symmetry_type", "post_blur_": "post_blur_radius", "zbuffer_": "", "sld_render_":
    "sld_render_enabled", "post_bokeh_": "sld_render_enabled", "mixer_": "mixer_mode", "motion_blur_":
    "motion_blur_length", "stereo3d_": "stereo3d_mode", "gradient_map_": "gradient_map", "cam_dof_": "",
    "cam_xfocus": "",
    "waves2_scalez": "waves2_freqz", "pre_waves2_scalez": "pre_waves2_freqz", "post_waves2_scalez": "post_waves2_freqz",
    "cam_yfocus": "", "cam_zfocus": "", "cam_zdim": "cam_zdimish", "grad_edit_": "", "gradientEditor": "",
    "shading_": "", "wfield_": "wfield_type",
}  # fmt: skip
_CURVE = re.compile(r"(.+)_(enabled|view_[xy]m(in|ax)|interpolation|selected_idx|locked|point_count|[xy]\d+)")


def is_number(text: str) -> bool:
    """Whether a text is one finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def base_name(name: str) -> str:
    """The name of a variation without the count that JWildfire gives its second and later ones.

    >>> base_name("log#1#"), base_name("julian2#1#_power")
    ('log', 'julian2_power')
    """
    return re.sub(r"#\d+#", "", name)


def _neutral(key: str, text: str) -> bool:
    values = NEUTRAL.get(key)
    if values is None:
        return False
    words = [f"{float(w):g}" if is_number(w) else w.lower() for w in text.split()]
    return " ".join(words) in values


def _idle_curve(key: str, extras: Mapping[str, str]) -> bool:
    """Whether an attribute is part of one of JWildfire's motion curves that is switched off."""
    found = _CURVE.fullmatch(key)
    return found is not None and extras.get(f"{found[1]}_enabled", "false").strip().lower() != "true"


def _quiet(key: str, extras: Mapping[str, str], names: frozenset[str]) -> bool:
    if key in TONE_CURVES and readable(key, extras[key]):
        return True
    if key in names or _neutral(key, extras[key]) or _idle_curve(key, extras):
        return True
    return any(key.startswith(prefix) and key != switch for prefix, switch in BELONGS.items())


def unread_of_flame(extras: Mapping[str, str]) -> list[str]:
    """Unknown attributes of a flame that its program would show in the picture, sorted.

    >>> unread_of_flame({"cam_zdimish": "0.5", "visible": "1.0", "nick": "a", "odd": "text"})
    ['cam_zdimish', 'odd']
    """
    left = [k for k in extras if not _quiet(k, extras, QUIET_FLAME)]
    return sorted({_CURVE.sub(r"\1", k) for k in left})


def unread_of_map(extras: Mapping[str, str], known: Collection[str]) -> tuple[list[str], list[str]]:
    """Unknown variations of a map, and other attributes without effect here; both sorted.

    A number under an unknown name is the weight of a variation, unless another attribute is its beginning: then it is
    a parameter of that one.

    Args:
        extras: unknown attributes of the map, verbatim.
        known: names of its known variations.

    >>> unread_of_map({"bwraps_wf": "0.5", "bwraps_wf_gain": "1", "julian_odd": "2", "note": "a"}, ["julian"])
    (['bwraps_wf'], ['julian_odd', 'note'])
    """
    left = [k for k in extras if not _quiet(k, extras, QUIET)]
    owners: set[str] = set()
    variations: set[str] = set()
    attributes: set[str] = set()
    for key in sorted(left, key=len):
        if any(key.startswith(f"{o}_") for o in owners):
            continue  # a parameter of an unknown variation
        if any(key.lower().startswith(f"{k}_".lower()) for k in known):
            if key.endswith("_fx_priority") and extras[key].strip() in PRIORITIES:
                continue
            attributes.add(_CURVE.sub(r"\1", key))
        elif (curve := _CURVE.fullmatch(key)) is not None and f"{curve[1]}_enabled" in extras:
            attributes.add(curve[1])
        elif is_number(extras[key]):
            owners.add(key)
            if float(extras[key]) != 0:
                variations.add(base_name(key))
        else:
            attributes.add(_CURVE.sub(r"\1", key))
    return sorted(variations), sorted(attributes)
