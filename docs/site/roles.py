"""Docstrings for the site: roles of reStructuredText become code and links of Markdown."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):`~?\.?([^`]+)`")
_DOCTEST = re.compile(r"^(>>> .*(?:\n.+)*)", re.M)
_STAR = re.compile(r"(?<=[\s(,])([A-Za-z]\w*)\*(?=[\s),.;:/-])")  # x* is a name, and no beginning of emphasis
_LITERAL = re.compile(r"``([^`]+)``")


def markdown(text: str) -> str:
    """Replace roles and double backquotes.

    >>> markdown("See :class:`~fractalkit.core.Picard` and ``[N, D]``.")
    'See `Picard` and `[N, D]`.'
    """
    parts = _DOCTEST.split(text)  # texts and, between them, doctests
    parts[::2] = [_LITERAL.sub(r"`\1`", _ROLE.sub(_last, t)).replace("::\n\n    ", ":\n\n    ") for t in parts[::2]]
    parts[::2] = [_STAR.sub(r"\1\\*", t) for t in parts[::2]]
    parts[1::2] = [f"```pycon\n{t.rstrip()}\n```\n" for t in parts[1::2]]
    return "".join(parts)


def _last(role: re.Match[str]) -> str:
    return f"`{role[1].rsplit('.', 1)[-1]}`"


class Roles(Extension):
    """Rewrite every docstring once, when it is found."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called by griffe for each module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value)
