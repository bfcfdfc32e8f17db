"""Convert the weights of a training run of a neural collage to those in the package.

    python recipes/neural_collage_weights.py runs/nc_aerial_mid/best.safetensors FOLDER \\
        -o fractalkit/models/weights/nc_aerial_mid.safetensors

Weights are rounded to float16. Then every third training picture of FOLDER is coded, one after the other, and the final
state of the entropy coder's contexts is saved as their initial state. Files that were made with other weights of the
same name can no longer be read: once weights are published, give new ones a new name.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from fractalkit.data.crops import crop_splits, rgb
from fractalkit.data.pictures import read_picture
from fractalkit.models.neural_code import learn_contexts
from fractalkit.models.pretrained import from_pretrained, save_pretrained


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--every", type=int, default=3, help="use every Nth training picture")
    options = parser.parse_args()
    net = from_pretrained(options.run)
    net.load_state_dict({k: v.half().float() for k, v in net.state_dict().items()})
    files = crop_splits(options.folder)["train"][:: options.every]
    size = learn_contexts(net, (rgb(read_picture(f).samples) for f in files))
    about = {k: v for k, v in net.about.items() if k not in ("command", "init")}  # they name folders of one machine
    save_pretrained(net, options.out, about, dtype=torch.float16)
    print(f"{options.out}: {options.out.stat().st_size:,} bytes; {len(files)} pictures took {size:,} bytes")


if __name__ == "__main__":
    main()
