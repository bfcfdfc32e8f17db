"""The configuration of a Collage-VDVAE, and what its layer strings have to satisfy."""

from __future__ import annotations

from dataclasses import dataclass

from fractalkit.checked import BELOW_ONE, CheckedSettings, one_of, within
from fractalkit.errors import DataError, UsageError
from fractalkit.models.blocks import Layer, shrunk
from fractalkit.models.likelihoods import LIKELIHOODS


@dataclass(frozen=True)
class VDVAEConfig(CheckedSettings):
    """Configuration of a VDVAE: all that its weights do not determine.

    Attributes:
        size, channels: side and channels of the square training pictures.
        stem: space-to-depth factor before the first convolution.
        encoder, decoder: layer strings, sides counted after the stem; see :func:`.blocks.parse_layers`.
        grid: ranges along each side of the collage; 0 takes the last side of the decoder. A decoder that ends at a
            multiple of it is folded: the features of the cells of a range are joined.
        width, bottleneck: channels of the trunk, and the fraction of them inside blocks.
        latent: channels of z in each top-down block.
        prior: "linear", one 1x1 convolution of the state, or "block", which adds blocks that also see the mean state.
        prior_blocks: number of these blocks in each layer.
        classes: number of classes that samples can be asked for; 0 for a model without. Needs ``prior="block"``.
        unlabelled: share of the training pictures whose class is withheld, so that samples can do without one.
        head: "collage" or "conv".
        features, hidden: channels of the collage and of the network at each point.
        patches, order, rho: see :class:`CollageHead`.
        cells: a training pixel is the mean over cells x cells points of the fixed point.
        continuous: the fields of the collage are splines without seams, or, as in the paper, one number per range.
        likelihood: "bernoulli" or "logistic-mixture".
        smooth: weight of the penalty on variation finer than a training pixel, in nats per pixel length.
        free: nats of each layer's KL that cost nothing in training (free bits of Kingma et al., 2016), per picture.
        warm: steps over which the weight of the KL grows to one.
        fine: fraction of the batch for which the penalty is computed.
    """

    size: int = within(28, 4, 1024)
    channels: int = within(1, 1, 4)
    stem: int = within(4, 1, 16)
    encoder: str = "7x5,7d7,1x2"
    decoder: str = "1x2,7m1,7x8"
    grid: int = within(0, 0, 1024)
    width: int = within(128, 1, 4096)
    bottleneck: float = within(0.5, 1e-6, 4)
    latent: int = within(8, 1, 1024)
    prior: str = one_of("linear", "block")
    prior_blocks: int = within(1, 1, 16)
    classes: int = within(0, 0, 1000)
    unlabelled: float = within(0.5, 0, 1)
    head: str = one_of("collage", "conv")
    features: int = within(16, 1, 1024)
    hidden: int = within(24, 1, 4096)
    patches: int = within(4, 0, 256)
    order: int = within(4, 1, 32)
    rho: float = within(0.7, 0, BELOW_ONE)
    cells: int = within(2, 1, 8)
    continuous: bool = True
    likelihood: str = one_of(*LIKELIHOODS)
    smooth: float = within(0.03, -1e9, 1e9)
    free: float = within(0.0, 0, 1e6)
    warm: int = within(1000, 0, 10**9)
    fine: float = within(0.125, 0, 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.classes and self.prior != "block":
            raise UsageError('classes: only a prior "block" knows classes; set prior=block')


def check_layers(config: VDVAEConfig, encoder: list[Layer], decoder: list[Layer]) -> None:
    """Raise a DataError where the layers of the trunk do not fit together."""
    if config.size % config.stem:
        raise DataError(f"config: size {config.size} is no multiple of stem {config.stem}")
    sides = _encoder_sides(config.size // config.stem, encoder)
    side = decoder[0].size
    for layer in decoder:
        if layer.kind == "down" or (layer.kind == "mix" and layer.other != side):
            raise DataError("config: decoder: sides can only grow, each mix from the side before it")
        if layer.kind == "block" and (layer.size != side or layer.size not in sides):
            raise DataError(f"config: decoder: the encoder never passes side {layer.size} of a block")
        side = layer.size
    if config.grid and side % config.grid:
        raise DataError(f"config: the decoder ends at side {side}, which is no multiple of the grid {config.grid}")
    if decoder[-1].kind != "block" or all(layer.kind != "block" for layer in encoder):
        raise DataError("config: encoder and decoder must end with blocks")


def _encoder_sides(side: int, encoder: list[Layer]) -> set[int]:
    """Sides of the activations of an encoder that begins at ``side``."""
    sides = {side}
    for layer in encoder:
        if layer.kind == "mix" or layer.size != side:
            raise DataError(f"config: encoder: a layer at side {layer.size} where the trunk is at {side}")
        if layer.kind == "down":
            side = shrunk(side, layer.other)
            sides.add(side)
    return sides
