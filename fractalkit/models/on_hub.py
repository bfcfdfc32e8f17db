"""Models on the Hugging Face hub, through its own mixin (the extra ``hub``)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

try:
    from huggingface_hub import ModelHubMixin, hf_hub_download
except ImportError as error:
    from fractalkit.errors import UsageError

    raise UsageError('the hub needs huggingface_hub; `pip install huggingface_hub` brings it') from error

from torch import nn

from fractalkit.models import hub

FILE = "model.safetensors"
CARD = """---
{{ card_data }}
---

# {{ model_name }}

A model of [FractalKit](https://arxiv.org/abs/2204.07673): what it draws is the fixed point of a contractive map, and
has every resolution.

```python
from fractalkit.models.hub import from_pretrained

model = from_pretrained("{{ repo_id }}")
```

{{ about }}
"""


class HubModel(
    ModelHubMixin,
    library_name="fractalkit",
    license="mit",
    tags=["fractal", "neural-collage", "image-generation"],
    paper_url="https://arxiv.org/abs/2204.07673",
    model_card_template=CARD,
):
    """A :class:`VDVAE` or :class:`NeuralCollage` with the hub's three methods.

    ``save_pretrained(folder)`` writes model.safetensors, config.json and README.md; ``push_to_hub("owner/name")``
    uploads those; ``from_pretrained("owner/name" or folder)`` reads them, and the model is in ``model``.

    Args:
        model: what is to be saved.
        name: of the model, for its card.
    """

    def __init__(self, model: nn.Module, name: str = "A fractal model") -> None:
        self.model, self.name = model, name

    def _save_pretrained(self, save_directory: Path) -> None:
        about = getattr(self.model, "about", {})
        hub.save_pretrained(self.model, save_directory / FILE, about if isinstance(about, dict) else {})
        config = {"architecture": hub.architecture_of(self.model), **self.model.config.to_dict()}  # type: ignore[union-attr, operator]
        (save_directory / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")

    def push_to_hub(self, repo_id: str, **options: Any) -> str:  # type: ignore[override]
        """Upload; ``options`` are the mixin's (private, token, branch, commit_message …). The commit's address."""
        about = getattr(self.model, "about", {})
        rows = "\n".join(f"- {key}: {value}" for key, value in about.items()) if isinstance(about, dict) else ""
        card = {
            "model_name": self.name,
            "repo_id": repo_id,
            "about": rows,
            **(options.pop("model_card_kwargs", {}) or {}),
        }
        return super().push_to_hub(repo_id, model_card_kwargs=card, **options)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **options: Any) -> HubModel:  # type: ignore[override]
        if Path(model_id).is_dir():
            return cls(hub.from_pretrained(Path(model_id) / FILE), Path(model_id).name)
        known = ("revision", "cache_dir", "force_download", "local_files_only", "token")
        path = hf_hub_download(model_id, FILE, **{k: options[k] for k in known if k in options})
        return cls(hub.from_pretrained(path), model_id)
