"""Networks that emit codes, whose fixed points are the pictures."""

from typing import TYPE_CHECKING

from fractalkit.lazy import attach

if TYPE_CHECKING:
    from fractalkit.models.mean_picture import MeanPicture
    from fractalkit.models.neural_code import NeuralCode, encode_neural
    from fractalkit.models.neural_collage import NeuralCollage, NeuralCollageConfig
    from fractalkit.models.noise import Between, Given
    from fractalkit.models.pretrained import Pretrained, from_pretrained, names, register_model, save_pretrained
    from fractalkit.models.sampling import Sampler, pictures, walk
    from fractalkit.models.scores import evaluate
    from fractalkit.models.trunk import Latents
    from fractalkit.models.vdvae import VDVAE
    from fractalkit.models.vdvae_config import VDVAEConfig

__all__ = [
    "VDVAE", "Between", "Given", "Latents", "MeanPicture", "NeuralCode", "NeuralCollage", "NeuralCollageConfig",
    "Pretrained", "Sampler", "VDVAEConfig", "encode_neural", "evaluate", "from_pretrained", "names", "pictures",
    "register_model", "save_pretrained", "walk",
]  # fmt: skip

_HOMES = {
    "VDVAE": ".vdvae", "Between": ".noise", "Given": ".noise", "Latents": ".trunk", "MeanPicture": ".mean_picture",
    "NeuralCode": ".neural_code", "NeuralCollage": ".neural_collage", "NeuralCollageConfig": ".neural_collage",
    "Pretrained": ".pretrained", "Sampler": ".sampling", "VDVAEConfig": ".vdvae_config",
    "encode_neural": ".neural_code", "evaluate": ".scores", "from_pretrained": ".pretrained", "names": ".pretrained",
    "pictures": ".sampling", "register_model": ".pretrained", "save_pretrained": ".pretrained", "walk": ".sampling",
}  # fmt: skip
__getattr__, __dir__ = attach(__name__, _HOMES)
