"""Sizes and windows as users write them."""

import pytest

from fractalkit.errors import UsageError
from fractalkit.raster.view import Region, Size


@pytest.mark.parametrize(
    ("text", "original", "want"),
    [
        ("1440", (1, 1), (1440, 1440)),
        ("1440", (600, 800), (1080, 1440)),
        ("1e3", (2, 1), (1000, 500)),
        ("640×480", (9, 1), (640, 480)),
        ("0.5x", (300, 201), (150, 100)),
        ("1", (1000, 1), (1, 1)),
    ],
)
def test_sizes(text, original, want):
    assert Size.parse(text).pixels(original, scales=True) == want


@pytest.mark.parametrize("text", ["", "x", "0", "-5", "12x", "3.5", "1x2x3", "1e13", "infx", "4xx", "nan"][1:])
def test_sizes_that_are_refused(text):
    if text == "12x":
        with pytest.raises(UsageError, match="needs an original size"):
            Size.parse(text).pixels()
        return
    with pytest.raises(UsageError, match="--res"):
        Size.parse(text)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("10,20,30,40", (10, 20, 30, 40)),
        ("0%,0%,100%,100%", (0, 0, 200, 100)),
        ("40%, 20%, 60%, 40%", (80, 20, 120, 40)),
        ("50%,50%,50.001%,50.001%", (100, 50, 101, 51)),
        ("0,0,1,1", (0, 0, 1, 1)),
        ("99.99%,0%,100%,1%", (199, 0, 200, 1)),
    ],
)
def test_windows(text, want):
    assert Region.parse(text).pixels((200, 100)) == want


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2,3", "expected x0,y0,x1,y1"),
        ("a,b,c,d", "expected x0,y0,x1,y1"),
        ("10%,0,50%,1", "expected x0,y0,x1,y1"),
        ("1.5,2,3,4", "whole pixels"),
        ("0%,0%,101%,5%", "0% to 100%"),
        ("5,5,5,9", "empty"),
        ("0,0,201,9", "leaves the picture of 200 x 100"),
        ("-1,0,5,9", "leaves the picture"),
        ("nan,0,1,1", "expected x0,y0,x1,y1"),
    ],
)
def test_windows_that_are_refused(text, words):
    with pytest.raises(UsageError, match=words):
        Region.parse(text).pixels((200, 100))


def test_fractions_without_a_sign_are_the_old_spelling():
    assert Region.parse("0.4,0.2,0.6,0.4") == Region((0.4, 0.2, 0.6, 0.4), "old shares")
