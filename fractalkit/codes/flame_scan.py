"""From the text of a ``.flame`` file to its elements: strict XML first, mended where a program wrote what XML forbids.

JWildfire writes ``log#1#="0.5"`` for the second ``log`` of a map, and names with spaces and slashes; other programs
leave a bare ``&`` in a name or write the same attribute twice. Such a file is read as its author meant it, and every
kind of mend is named in a note. Document types, entities, and files beyond a size or a depth are refused either way.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from fractalkit.errors import DataError

MAX_DEPTH = 12
MAX_ELEMENTS = 500_000
RAW = "raw text"  # the attribute that holds the whole text of an <edit>: its history may be nested to any depth
_LEGAL = re.compile(r"[^\W\d][\w.:-]*")
_TAG = re.compile(r"<(/?)([^\W\d][\w.:-]*)")
_ATTRIBUTE = re.compile(r"""([^=<>"']*)=\s*(["'])""")
_END = re.compile(r"\s*(/?)>")
_LOOSE = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});)")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def parse(data: bytes, name: str) -> tuple[Element, list[str]]:
    """The elements of a file below one root, and a note for each kind of mend.

    Raises:
        DataError: not well-formed beyond mending, with a document type or entities, or too many or too deep elements.
    """
    text = data.lstrip(b"\xef\xbb\xbf \t\r\n")
    text = re.sub(rb"^<\?xml[^>]*\?>", b"", text, count=1)
    if re.search(rb"<!(DOCTYPE|ENTITY)", text, re.I):
        raise DataError(f"{name}: has a document type or entities, which flames never need; remove them")
    try:
        return _Parser(name, text).run(), []
    except expat.ExpatError as error:
        why = f"{name}: is not well-formed XML ({error}); mend it or save it again"
    mender = _Mender(text)
    try:
        mended = mender.run()
        return _Parser(name, mended, mender.restore).run(), mender.notes()
    except (expat.ExpatError, ValueError):
        raise DataError(why) from None


class _Parser:
    """Builds elements, within limits; what is inside an ``<edit>`` is kept as text."""

    def __init__(self, name: str, text: bytes, restore: Callable[[str], str] = str) -> None:
        self.name, self.text, self.restore = name, text, restore
        self.builder = TreeBuilder()
        self.depth = self.count = 0
        self.edits = 0  # how deep in edits
        self.began = 0

    def run(self) -> Element:
        self.parser = parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.Parse(b"<all>", False)
        parser.Parse(self.text, False)
        parser.Parse(b"</all>", True)
        return self.builder.close()

    def _at(self) -> int:
        return self.parser.CurrentByteIndex - len(b"<all>")

    def _refuse(self, *_: Any) -> None:
        raise DataError(f"{self.name}: has a document type or entities, which flames never need; remove them")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self.count += 1
        if self.edits or tag == "edit":
            if not self.edits:
                self.began = self._at()
            self.edits += 1
        else:
            self.depth += 1
            self.builder.start(tag, {self.restore(k): v for k, v in attributes.items()})
        if self.depth > MAX_DEPTH or self.count > MAX_ELEMENTS:
            raise DataError(f"{self.name}: more elements, or deeper ones, than a flame file may have")

    def _end(self, tag: str) -> None:
        if not self.edits:
            self.depth -= 1
            self.builder.end(tag)
            return
        self.edits -= 1
        if self.edits:
            return
        at = self._at()
        # the end of <edit/> is reported behind it, that of others at their </edit>
        alone = self._tag_end(self.began) == at and self.text.endswith(b"/>", self.began, at)
        stop = at if alone else self.text.index(b">", at) + 1
        raw = self.restore(self.text[self.began : stop].decode())
        self.builder.start("edit", {RAW: raw})
        self.builder.end("edit")

    def _tag_end(self, at: int) -> int:
        """Where a tag ends: after the first > that is not quoted."""
        for found in re.compile(rb"""[^"'>]|"[^"]*"|'[^']*'|(>)""").finditer(self.text, at):
            if found[1]:
                return found.end()
        return len(self.text)

    def _characters(self, text: str) -> None:
        if not self.edits:
            self.builder.data(text)


class _Mender:
    """Rewrites a text as XML: names that XML forbids become words, which :meth:`restore` turns back."""

    def __init__(self, data: bytes) -> None:
        self.kinds: dict[str, list[str]] = {}
        try:
            self.text = data.decode("utf-8")
        except UnicodeDecodeError:
            self.text = data.decode("cp1252", "replace")
            self._note("is not UTF-8 and was read as Windows-1252")
        if _CONTROL.search(self.text):
            self.text = _CONTROL.sub("", self.text)
            self._note("holds control characters, which were left out")
        self.word = "mended"
        while self.word in self.text:
            self.word += "_"
        self.words: dict[str, str] = {}
        self.out: list[str] = []

    def _note(self, kind: str, what: str = "") -> None:
        items = self.kinds.setdefault(kind, [])
        if what and what not in items[:50]:
            items.append(what)

    def notes(self) -> list[str]:
        """A sentence for each kind of mend, with the first few things that were mended."""
        return [
            kind + (": " + ", ".join(items[:6]) + (f" and {len(items) - 6} others" if len(items) > 6 else ""))
            if items else kind
            for kind, items in self.kinds.items()
        ]  # fmt: skip

    def restore(self, text: str) -> str:
        """The names of the file in place of the words that stood in for them."""
        if self.word not in text:
            return text
        names = {word: name for name, word in self.words.items()}
        return re.sub(rf"{self.word}\d+", lambda m: names[m[0]], text)

    def run(self) -> bytes:
        """The mended text, once; a ValueError where a tag makes no sense."""
        text, at = self.text, 0
        while at < len(text):
            lt = text.find("<", at)
            lt = len(text) if lt < 0 else lt
            self.out.append(self._loose(text[at:lt]))
            at = lt
            if at < len(text):
                at = self._markup(at)
        return "".join(self.out).encode()

    def _markup(self, at: int) -> int:
        for begin, end in (("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>")):
            if self.text.startswith(begin, at):
                stop = self.text.index(end, at) + len(end)
                self.out.append(self.text[at:stop])
                return stop
        tag = _TAG.match(self.text, at)
        if tag is None:
            self._note("holds a loose < in its text")
            self.out.append("&lt;")
            return at + 1
        self.out.append(tag[0])
        return self._attributes(tag.end())

    def _attributes(self, at: int) -> int:
        seen = set()
        while True:
            found = _ATTRIBUTE.match(self.text, at)
            if found is None:
                break
            name, quote = found[1].strip(), found[2]
            stop = self.text.index(quote, found.end())
            value = self._loose(self.text[found.end() : stop]).replace("<", "&lt;")
            at = stop + 1
            if not name:
                raise ValueError("an attribute without a name")
            if name in seen:
                self._note("has the same attribute twice in one element, of which the first counts", name)
                continue
            seen.add(name)
            self.out.append(f" {self._legal(name)}={quote}{value}{quote}")
        end = _END.match(self.text, at)
        if end is None:
            raise ValueError("a tag that does not end")
        self.out.append(f"{end[1]}>")
        return end.end()

    def _legal(self, name: str) -> str:
        if _LEGAL.fullmatch(name):
            return name
        self._note("has names of attributes that XML does not allow, which were read as they stand", name)
        return self.words.setdefault(name, f"{self.word}{len(self.words)}")

    def _loose(self, text: str) -> str:
        if "&" in text and _LOOSE.search(text):
            self._note("holds a loose & in its text")
            text = _LOOSE.sub("&amp;", text)
        return text
