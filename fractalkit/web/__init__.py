"""Flames and codes of the plane in a browser, by the shaders of :mod:`fractalkit.orbit.wgsl` and ``engine.js``.

:func:`structure` gives what ``engine.js`` needs, as an object that JSON can hold; :func:`engine_path` is the module's
file, which a page imports::

    import { Engine } from "./engine.js";
    const engine = await Engine.create(document.querySelector("canvas"));   // throws where there is no WebGPU
    await engine.load(structure);          // compiles the shader, unless it has it already
    engine.run({ quality: 200 });          // draws until there are 200 samples a pixel; stop() ends it
    engine.set("0.coefs.4", 0.3);          // moves a number of map 0 and begins anew, without a new shader
    engine.update(other);                  // another structure with the same key: all its numbers at once

The header of ``engine.js`` describes every method.
"""

from __future__ import annotations

from fractalkit.web.pages import card_script
from fractalkit.web.structures import engine_path, structure

__all__ = ["card_script", "engine_path", "structure"]
