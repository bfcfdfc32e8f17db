"""Weights in and out: safetensors with the configuration in the metadata; by name, by path, or from the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from fractalkit.errors import DataError, UsageError, first_line
from fractalkit.files import atomic_path
from fractalkit.models.neural_collage import NeuralCollage, NeuralCollageConfig
from fractalkit.models.vdvae import VDVAE, VDVAEConfig

WEIGHTS = Path(__file__).parent / "weights"
FORMAT = "fractalkit-model"
MAX_BYTES = 4 << 30
MAX_HEADER = 4 << 20
ARCHITECTURES: dict[str, tuple[Any, Any]] = {
    "vdvae": (VDVAE, VDVAEConfig),
    "neural-collage": (NeuralCollage, NeuralCollageConfig),
}


def names() -> list[str]:
    """Models that come with the package."""
    return sorted(p.stem for p in WEIGHTS.glob("*.safetensors"))


def save_pretrained(
    model: nn.Module,
    path: str | Path,
    metadata: dict[str, Any] | None = None,
    *,
    state: dict[str, torch.Tensor] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a model's weights and configuration into one safetensors file, whole or not at all.

    Args:
        model: a model with a ``config`` (a VDVAE, or one wrapped by DDP or torch.compile is to be unwrapped first).
        metadata: anything worth keeping that JSON can hold (data, steps, figures).
        state: other weights under the same names, such as a running average; None takes the model's own.
        dtype: of the file; None keeps float32. float16 halves it, with no figure changed that we know of.

    Raises:
        DataError: the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    architecture = architecture_of(model)
    tensors = {
        key: value.detach().to("cpu", dtype or value.dtype).contiguous()
        for key, value in (state if state is not None else model.state_dict()).items()
    }
    about = {
        "format": FORMAT,
        "architecture": architecture,
        "config": json.dumps(model.config.to_dict()),  # type: ignore[union-attr, operator]
        "about": json.dumps(metadata or {}),
    }
    path = Path(path)
    try:
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata=about)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: cannot be written ({first_line(error)})") from error


def architecture_of(model: nn.Module) -> str:
    """The name of a model's architecture in our files.

    Raises:
        UsageError: a model of none that we know.
    """
    for name, (kind, _) in ARCHITECTURES.items():
        if isinstance(model, kind):
            return name
    raise UsageError(f"model: {type(model).__name__} is no architecture that can be saved")


def push_to_hub(model: nn.Module, repository: str, **options: Any) -> str:
    """Upload a model to ``owner/name`` on the Hugging Face hub, with its configuration and a card.

    ``options`` are those of ``huggingface_hub.ModelHubMixin.push_to_hub``: private, token, branch, commit_message …
    Needs the extra ``hub``, and an account. Returns the commit's address.

    Raises:
        UsageError: huggingface_hub is not installed, or the model is none that we know.
        DataError: the hub cannot be reached, or refuses.
    """
    architecture_of(model)
    from fractalkit.models.on_hub import HubModel

    try:
        return HubModel(model, repository.split("/")[-1]).push_to_hub(repository, **options)
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{repository}: cannot be uploaded to the hub ({first})") from error


def from_pretrained(name: str | Path, *, device: torch.device | str = "cpu", architecture: str | None = None) -> Any:
    """A model by the name of one in the package, the path of a safetensors file, or ``owner/name`` on the hub.

    The model, a :class:`VDVAE` or a :class:`NeuralCollage`, is in evaluation mode, float32, and has ``about``, a
    dictionary of what is known of it. ``architecture`` is the one wanted, where only one will do.

    Raises:
        UsageError: an unknown name; the message lists the known ones. Or another architecture than the one wanted.
        DataError: a file that is missing, cut short, no safetensors file, or of another architecture.
    """
    path = _find(str(name))
    about, tensors = read_file(path)
    wanted, architecture = architecture, about.get("architecture")
    if about.get("format") != FORMAT or architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise DataError(f"{path}: holds no FractalKit model of a known architecture ({known})")
    if wanted is not None and architecture != wanted:
        raise UsageError(f"model: {str(name)!r} is a {architecture}, and what is needed here is a {wanted}")
    kind, config_kind = ARCHITECTURES[architecture]
    try:
        config = config_kind.from_dict(json.loads(about.get("config", "")))
        extra = json.loads(about.get("about", "{}"))
        if not isinstance(extra, dict):
            raise ValueError("what it says about itself is no object")
        with _Budget(2 * sum(t.numel() for t in tensors.values()) + (1 << 20)):
            model = kind(config)
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{path}: its configuration cannot be used: {error}") from error
    want = model.state_dict()
    wrong = sorted(set(want) ^ set(tensors)) or [k for k in want if want[k].shape != tensors[k].shape]
    if wrong:
        raise DataError(f"{path}: the weights do not fit the configuration ({wrong[0]}); it is of another architecture")
    bad = [k for k, v in tensors.items() if not v.is_floating_point() or not bool(torch.isfinite(v).all())]
    if bad:
        raise DataError(f"{path}: {bad[0]} holds values that are not finite numbers")
    model.load_state_dict({k: v.float() for k, v in tensors.items()})
    model = model.to(device).eval()
    model.requires_grad_(False)
    model.about = extra  # type: ignore[assignment]
    return model


class _Budget(TorchFunctionMode):
    """Refuses new tensors beyond so many numbers in all: a configuration may promise far more than its file holds.

    They are counted before anything is written into them, so that the system has not given their memory yet. (The meta
    device would do, too, but its first use takes a second.)
    """

    FACTORIES = (torch.empty, torch.zeros, torch.ones, torch.full, torch.randn, torch.rand)

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.left = numbers

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in self.FACTORIES:
            self.left -= out.numel()
            if self.left < 0:
                raise DataError("it is of a larger network than the weights are")
        return out


def read_file(path: str | Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Metadata and tensors of a safetensors file, checked before anything large is allocated.

    Raises:
        DataError: no such file, too large, or not safetensors; pickles are never opened.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    length = int.from_bytes(head[:8], "little")
    if len(head) < 9 or head[8:] != b"{" or length > min(size - 8, MAX_HEADER):
        # only then: the length of a good header may begin with the same bytes
        if head[:2] == b"PK" or head[:1] == b"\x80":
            raise DataError(f"{path}: is a pickle or a zip, which could run code; only safetensors files are opened")
        raise DataError(f"{path}: is no safetensors file, or is cut short; fetch it again")
    if size > MAX_BYTES:
        raise DataError(f"{path}: larger than {MAX_BYTES >> 30} GiB, which no model of ours is")
    try:
        with safe_open(path, framework="pt") as file:
            about = dict(file.metadata() or {})
            return about, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, ValueError, OSError) as error:
        raise DataError(f"{path}: is no whole safetensors file ({error}); fetch it again") from error


def _find(name: str) -> Path:
    if name in names():
        return WEIGHTS / f"{name}.safetensors"
    path = Path(name)
    if path.is_dir():
        inside = sorted(path.glob("*.safetensors"))
        if len(inside) != 1:
            raise DataError(f"{path}: holds {len(inside)} safetensors files; name one of them")
        return inside[0]
    if path.exists():
        return path
    if path.suffix:
        raise DataError(f"{path}: there is no such file; check the name")
    if name.count("/") == 1:
        return _from_hub(name)
    raise UsageError(f"model: unknown name {name!r}; known are {', '.join(names()) or 'none'}, or give a file")


def _from_hub(name: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.utils import logging

        logging.set_verbosity_error()  # it retries in many lines of its own
    except ImportError as error:
        raise UsageError(f'model: {name!r} names a repository; `pip install huggingface_hub` to fetch it') from error
    try:
        return Path(hf_hub_download(name, "model.safetensors"))
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{name}: cannot be fetched from the hub ({first})") from error
