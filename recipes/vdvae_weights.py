"""Make the file of weights in the package from the best weights of a run: classes in closed form, float16.

python recipes/vdvae_weights.py runs/vdvae_mnist/best.safetensors --data-dir DIR -o vdvae_mnist.safetensors
python recipes/vdvae_weights.py runs/vdvae_fashion/last.safetensors --data-dir DIR -o vdvae_fashion.safetensors

The larger model is trained on a card, in runs of eight minutes or longer that continue each other to the same bits:

fractalkit train vdvae_mnist_large --device cuda --data-dir DIR --minutes 8 --resume
python recipes/vdvae_weights.py runs/vdvae_mnist_large/last.safetensors --data-dir DIR -o large.safetensors
fractalkit evaluate --model large.safetensors --data mnist-static --data-dir DIR --samples 1000
python -m recipes.benchmarks.samples whole --model large.safetensors
"""

from __future__ import annotations

from pathlib import Path

import click
import torch

from fractalkit.data import load_images
from fractalkit.models.class_priors import fit_class_tables
from fractalkit.models.pretrained import from_pretrained
from fractalkit.models.vdvae import VDVAE


@click.command()
@click.argument("weights", type=click.Path(path_type=Path, exists=True))
@click.option("--data-dir", type=click.Path(path_type=Path))
@click.option("--pictures", default=10_000, show_default=True, help="For the tables of the classes; 0 leaves them.")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True)
def main(weights: Path, data_dir: Path | None, pictures: int, out: Path) -> None:
    """Fit the tables of the classes, and write float16."""
    torch.set_num_threads(1)
    model = from_pretrained(weights, kind=VDVAE)
    name = str(model.about.get("model", "vdvae_mnist"))
    source = str(model.about.get("data", "mnist-dynamic"))
    if pictures:
        # classes belong to the grey pictures, of which a binary model sees fresh binarisations
        data = load_images("mnist" if source.startswith("mnist") else source, "train", folder=data_dir)
        assert data.labels is not None
        x = torch.from_numpy(data.images[:pictures]).float() / 255
        if model.config.likelihood == "bernoulli":
            x = torch.bernoulli(x, generator=torch.Generator().manual_seed(0))
        fit_class_tables(model, x, torch.from_numpy(data.labels[:pictures]).long())
    about = {"model": name, "data": source, "command": "python recipes/vdvae_weights.py"}
    model.save_pretrained(out, about, dtype=torch.float16)


if __name__ == "__main__":
    main()
