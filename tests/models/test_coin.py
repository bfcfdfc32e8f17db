import numpy as np
import pytest

from fractalkit.codec import container
from fractalkit.codec.weights_syntax import read_numbers, write_numbers
from fractalkit.errors import DataError, UsageError
from fractalkit.models.coin import CoinCode, encode_coin, network_size


def picture(h=24, w=36, channels=3):
    y, x = np.indices((h, w))
    a = np.stack([128 + 90 * np.sin(x / 6 + c) * np.cos(y / 5) for c in range(channels)], -1)
    return a.astype(np.uint8)[..., 0] if channels == 1 else a.astype(np.uint8)


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


@pytest.mark.parametrize("spread", [0.3, 5, 4000])
def test_numbers_survive(spread):
    rng = np.random.default_rng(0)
    values = np.rint(rng.laplace(0, spread, 3000)).astype(np.int64)
    kinds = np.repeat(np.arange(3, dtype=np.uint8), 1000)
    data = write_numbers(kinds, values)
    assert np.array_equal(read_numbers(data, kinds), values)
    # within 4 % and the learning of contexts of a Laplace distribution's entropy
    assert 8 * len(data) / 3000 < 1.04 * max(0.3, np.log2(2 * np.e * max(spread, 0.18))) + 0.35


def test_damaged_numbers_still_read():
    kinds = np.zeros(50, np.uint8)
    assert len(read_numbers(b"", kinds)) == 50
    assert np.abs(read_numbers(b"\xff\x01\x33", kinds)).max() < 1 << 20


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_picture_is_fitted_within_its_rate(channels):
    a = picture(channels=channels)
    seen = []
    code = encode_coin(a, bpp=8.0, iterations=150, callback=lambda step, loss: seen.append(loss))
    data = code.to_bytes()
    assert 8 * len(data) <= 8.0 * 24 * 36 and seen[-1] < seen[0] / 10 and len(seen) == 150
    again = CoinCode.from_bytes(data)
    b = again.decode()
    assert b.shape == a.shape and b.dtype == np.uint8 and np.array_equal(b, code.decode()) and psnr(a, b) > 28
    assert again.summary()["weights"] == len(code.levels)


def test_the_seed_decides():
    a = picture()
    one, two, three = (encode_coin(a, bpp=4.0, iterations=5, seed=s).to_bytes() for s in (1, 1, 2))
    assert one == two != three


def test_any_size_and_window():
    code = encode_coin(picture(), bpp=6.0, iterations=60)
    large = code.decode(48, 72)
    assert large.shape == (48, 72, 3)
    part = code.decode(48, 72, window=(36, 24, 72, 48))
    assert np.abs(part.astype(int) - large[24:, 36:]).max() <= 1
    assert code.decode(window=(0, 0, 18, 12)).shape == (12, 18, 3)
    with pytest.raises(UsageError, match="window"):
        code.decode(window=(18, 0, 18, 24))


def test_sixteen_bits_and_one_pixel():
    deep = picture().astype(np.uint16) * 257
    assert encode_coin(deep, bpp=6.0, iterations=3).decode().dtype == np.uint16
    assert encode_coin(np.full((1, 1, 3), 9, np.uint8), iterations=2).decode().shape == (1, 1, 3)


def test_refusals():
    with pytest.raises(UsageError, match="image"):
        encode_coin(np.zeros((4, 4, 2), np.uint8))
    with pytest.raises(UsageError, match="uint8"):
        encode_coin(np.zeros((4, 4, 3)))
    for wrong in ({"bpp": 0}, {"bytes": 0}, {"bpp": 1, "bytes": 9}):
        with pytest.raises(UsageError, match="bpp"):
            encode_coin(picture(), **wrong)
    data = encode_coin(picture(), bpp=4.0, iterations=2).to_bytes()
    for cut in (0, 3, 20, len(data) - 1):
        with pytest.raises(DataError):
            CoinCode.from_bytes(data[:cut])
    header, segments = container.read(data)
    for settings in (b"", b"\0\0\0", header.settings[:-1], b"\xff" * len(header.settings)):
        bad = container.write(container.Header("coin", 24, 36, 3, 8, settings), segments)
        with pytest.raises(DataError, match="damaged"):
            CoinCode.from_bytes(bad)
    other = container.write(container.Header("neural", 24, 36, 3, 8, b""), segments)
    with pytest.raises(DataError, match="not by COIN"):
        CoinCode.from_bytes(other)


def test_sizes_are_those_of_the_paper():
    assert network_size(768 * 512, 3, 0.15)[0] == 10 and network_size(768 * 512, 3, 0.07)[0] == 5


def test_a_size_in_bytes_is_one_in_bits_per_pixel():
    a = picture()
    same = [
        encode_coin(a, iterations=2, **size).to_bytes() for size in ({"bytes": 700}, {"bpp": 5600 / a[..., 0].size})
    ]
    assert same[0] == same[1] and len(same[0]) <= 700
