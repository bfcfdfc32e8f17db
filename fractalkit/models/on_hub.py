"""Upload models to the Hugging Face hub with its mixin (the extra ``hub``)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

try:
    from huggingface_hub import ModelHubMixin
except ImportError as error:
    from fractalkit.errors import UsageError

    raise UsageError("the hub needs huggingface_hub; `pip install huggingface_hub` brings it") from error

FILE = "model.safetensors"
CARD = """---
{{ card_data }}
---

# {{ model_name }}

A model of [FractalKit](https://arxiv.org/abs/2204.07673). It draws fixed points of contractive maps, which have every
resolution.

```python
from fractalkit.models import from_pretrained

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
    """A :class:`fractalkit.models.Pretrained` with the hub's methods of writing.

    ``save_pretrained(folder)`` writes model.safetensors, config.json and README.md; ``push_to_hub("owner/name")``
    uploads them. :func:`fractalkit.models.from_pretrained` reads both.

    Args:
        model: the model to save.
        name: of the model, for its card.
    """

    def __init__(self, model: Any, name: str = "A fractal model") -> None:
        self.model, self.name = model, name

    def _save_pretrained(self, save_directory: Path) -> None:
        about = getattr(self.model, "about", {})
        self.model.save_pretrained(save_directory / FILE, about if isinstance(about, dict) else {})
        config = {"architecture": self.model.architecture, **self.model.settings()}
        (save_directory / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")

    def push_to_hub(self, repo_id: str, **options: Any) -> str:  # type: ignore[override]
        """Upload and return the address of the commit; ``options`` of the mixin: private, token, branch, …"""
        about = getattr(self.model, "about", {})
        rows = "\n".join(f"- {key}: {value}" for key, value in about.items()) if isinstance(about, dict) else ""
        card = {
            "model_name": self.name, "repo_id": repo_id, "about": rows, **(options.pop("model_card_kwargs", {}) or {}),
        }  # fmt: skip
        return super().push_to_hub(repo_id, model_card_kwargs=card, **options)
