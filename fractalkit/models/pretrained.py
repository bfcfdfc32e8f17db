"""Models with weights: one registry, one base class, safetensors files with the configuration in the metadata.

A new architecture is a module here with a class that derives from :class:`Pretrained` and has a name by
:func:`register_model`, and the module's name in :data:`BUILT_IN`.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from fractalkit.checked import CheckedSettings
from fractalkit.errors import DataError, UsageError, first_line
from fractalkit.tensors import read_tensors, save_tensors

WEIGHTS = Path(__file__).parent / "weights"
FORMAT = "fractalkit-model"
BUILT_IN = ("vdvae", "neural_collage", "inverse")  # modules of this package that register architectures

M = TypeVar("M", bound="Pretrained")
_REGISTRY: dict[str, type[Pretrained]] = {}


def register_model(name: str) -> Callable[[type[M]], type[M]]:
    """Register a class of models under the name of its architecture, which its files carry.

    Raises:
        UsageError: the name is taken by another class.
    """

    def register(kind: type[M]) -> type[M]:
        if _REGISTRY.get(name, kind).__qualname__ != kind.__qualname__:
            raise UsageError(f"model: the architecture {name!r} is {_REGISTRY[name].__name__} already")
        kind.architecture = name
        _REGISTRY[name] = kind
        return kind

    return register


def architectures() -> dict[str, type[Pretrained]]:
    """All registered classes by name."""
    for module in BUILT_IN:
        import_module(f"fractalkit.models.{module}")
    return dict(_REGISTRY)


class Pretrained(nn.Module):
    """Base class of models whose weights are kept in files.

    A subclass has a ``config``, of ``config_type``, and is made from one; or it has neither, and is made from arguments
    that JSON can hold, which its files keep.

    Attributes:
        architecture: name in the registry.
        config_type: class of the configurations.
        about: what is known of the weights (data, steps, figures), as JSON can hold it.
    """

    architecture: ClassVar[str]
    config_type: ClassVar[type[CheckedSettings]]
    config: Any
    about: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Remember the arguments."""
        self = super().__new__(cls)
        self.__dict__["_arguments"] = (args, kwargs)
        return self

    def settings(self) -> dict[str, Any]:
        """What the model is made from: its configuration, or its arguments by name."""
        if hasattr(self, "config"):
            return dict(self.config.to_dict())
        args, kwargs = self.__dict__["_arguments"]
        bound = inspect.signature(type(self).__init__).bind(self, *args, **kwargs)
        return dict(list(bound.arguments.items())[1:])  # without self

    def save_pretrained(
        self,
        path: str | Path,
        metadata: dict[str, Any] | None = None,
        *,
        state: dict[str, torch.Tensor] | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Write weights and configuration into one safetensors file, whole or not at all.

        Args:
            metadata: anything worth keeping that JSON can hold (data, steps, figures).
            state: other weights under the same names, such as a running average; None takes the model's own.
            dtype: of the file; None keeps float32. float16 halves it.

        Raises:
            DataError: the file cannot be written.
        """
        tensors = {
            key: value.detach().to("cpu", dtype or value.dtype).contiguous()
            for key, value in (state if state is not None else self.state_dict()).items()
        }
        about = {
            "format": FORMAT,
            "architecture": self.architecture,
            "config": json.dumps(self.settings()),
            "about": json.dumps(metadata or {}),
        }
        save_tensors(path, tensors, about)

    @classmethod
    def from_pretrained(cls, name: str | Path, *, device: torch.device | str = "cpu") -> Self:
        """Load a model of this class, see :func:`from_pretrained`."""
        return from_pretrained(name, device=device, kind=cls)

    def push_to_hub(self, repository: str, **options: Any) -> str:
        """Upload to ``owner/name`` on the Hugging Face hub, with the configuration and a card.

        ``options`` are those of ``huggingface_hub.ModelHubMixin.push_to_hub``: private, token, branch, commit_message …
        Needs the extra ``hub``, and an account. Returns the commit's address.

        Raises:
            UsageError: huggingface_hub is not installed.
            DataError: the hub cannot be reached, or refuses.
        """
        from fractalkit.models.on_hub import HubModel

        try:
            return HubModel(self, repository.split("/")[-1]).push_to_hub(repository, **options)
        except Exception as error:
            raise DataError(f"{repository}: cannot be uploaded to the hub ({first_line(error)})") from error

    def summary(self) -> dict[str, Any]:
        """Facts of the model."""
        return {
            "architecture": self.architecture,
            "parameters": sum(t.numel() for t in self.state_dict().values()),
            "config": self.settings(),
            "about": getattr(self, "about", {}),
        }


def names(kind: type[Pretrained] | None = None) -> list[str]:
    """Models in the package; of one class only where ``kind`` is given."""
    found = sorted(p.stem for p in WEIGHTS.glob("*.safetensors"))
    if kind is None:
        return found
    known = architectures()
    return [n for n in found if issubclass(known[read_tensors(WEIGHTS / f"{n}.safetensors")[0]["architecture"]], kind)]


def save_pretrained(
    model: Pretrained, path: str | Path, metadata: dict[str, Any] | None = None, **options: Any
) -> None:
    """Write a model, see :meth:`Pretrained.save_pretrained`."""
    model.save_pretrained(path, metadata, **options)


def from_pretrained(
    name: str | Path, *, device: torch.device | str = "cpu", kind: type[Pretrained] = Pretrained
) -> Any:
    """A model by the name of one in the package, the path of a safetensors file, or ``owner/name`` on the hub.

    The model is in evaluation mode, float32, and has ``about``, a dictionary of what is known of it.

    Args:
        kind: the class it has to be of.

    Raises:
        UsageError: an unknown name; the message lists the known ones. Or a model of another class.
        DataError: a file that is missing, cut short, no safetensors file, or of an unknown architecture.
    """
    path = _find(str(name))
    about, tensors = read_tensors(path)
    known = architectures()
    architecture = about.get("architecture")
    if about.get("format") != FORMAT or architecture not in known:
        raise DataError(f"{path}: holds no FractalKit model of a known architecture ({', '.join(known)})")
    found = known[architecture]
    if not issubclass(found, kind):
        raise UsageError(f"model: {str(name)!r} is a {architecture}, and what is needed here is a {_wanted(kind)}")
    model = _built(found, about, path, sum(t.numel() for t in tensors.values()))
    want = model.state_dict()
    wrong = sorted(set(want) ^ set(tensors)) or [k for k in want if want[k].shape != tensors[k].shape]
    if wrong:
        raise DataError(f"{path}: the weights do not fit the configuration ({wrong[0]}); it is of another architecture")
    bad = [k for k, v in tensors.items() if not v.is_floating_point() or not bool(torch.isfinite(v).all())]
    if bad:
        raise DataError(f"{path}: {bad[0]} holds values that are not finite numbers")
    model.load_state_dict({k: v.float() for k, v in tensors.items()})
    return model.to(device).eval().requires_grad_(False)


def _wanted(kind: type[Pretrained]) -> str:
    """The name of a class in messages."""
    return getattr(kind, "architecture", None) or getattr(kind, "role", None) or kind.__name__


def _built(kind: type[Pretrained], about: dict[str, str], path: Path, numbers: int) -> Pretrained:
    """A model with the configuration of a file, of at most about as many numbers as the file has."""
    try:
        config = json.loads(about.get("config", ""))
        extra = json.loads(about.get("about", "{}"))
        if not isinstance(extra, dict):
            raise ValueError("its metadata is not an object")
        with _Budget(2 * numbers + (1 << 20)):
            model = kind(kind.config_type.from_dict(config)) if hasattr(kind, "config_type") else kind(**config)
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{path}: its configuration cannot be used: {error}") from error
    model.about = extra
    return model


class _Budget(TorchFunctionMode):
    """Refuses new tensors beyond so many numbers in all: a configuration may promise far more than its file holds.

    They are counted before anything is written into them, so the system has not allocated their memory yet. (The meta
    device would do too, but its first use takes a second.)
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
        raise UsageError(f"model: {name!r} names a repository; `pip install huggingface_hub` to fetch it") from error
    try:
        return Path(hf_hub_download(name, "model.safetensors"))
    except Exception as error:
        raise DataError(f"{name}: cannot be fetched from the hub ({first_line(error)})") from error
