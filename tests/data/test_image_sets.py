"""Loaders of data sets: contents, and clear errors for bad files."""

import gzip
import hashlib
import io
import sys
import tarfile
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from fractalkit.data import cifar, mnist
from fractalkit.data.fetch import Remote, fetch, fetch_all
from fractalkit.data.image_set import ImageSet, hold_out
from fractalkit.data.image_sets import DATA_SETS, load_images
from fractalkit.data.images import MAX_SOURCE_PIXELS, load_folder, read_square
from fractalkit.errors import DataError, UsageError

RNG = np.random.default_rng(0)


def idx(array: np.ndarray, magic: bytes | None = None) -> bytes:
    head = magic or bytes([0, 0, 8, array.ndim])
    return head + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


@pytest.fixture
def digits(tmp_path):
    """A tiny MNIST, gzipped for training and plain for test, and its arrays."""
    arrays = {}
    for split, n in (("train", 12), ("t10k", 5)):
        images = RNG.integers(0, 256, (n, 28, 28), np.uint8)
        labels = RNG.integers(0, 10, n).astype(np.uint8)
        arrays[split] = images, labels
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            path = tmp_path / f"{split}-{kind}-ubyte"
            if split == "train":
                path.with_name(path.name + ".gz").write_bytes(gzip.compress(idx(array)))
            else:
                path.write_bytes(idx(array))
    return tmp_path, arrays


def test_mnist_splits(digits):
    folder, arrays = digits
    got = {s: load_images("mnist", s, folder=folder) for s in ("train", "valid", "test")}
    assert [len(d) for d in got.values()] == [10, 2, 5] and got["train"].levels == 256
    images, labels = arrays["train"]
    assert np.array_equal(np.concatenate([got["train"].images, got["valid"].images])[:, 0], images)
    assert np.array_equal(got["valid"].labels, labels[10:])
    assert np.array_equal(got["test"].images[:, 0], arrays["t10k"][0])
    assert got["train"].fingerprint() != got["valid"].fingerprint()


def test_mnist_beside_in_a_folder_of_its_own_or_by_the_environment(digits, tmp_path, monkeypatch):
    folder, _ = digits
    (folder / "deep").mkdir()
    for path in list(folder.glob("*-ubyte*")):
        (folder / "deep" / "mnist").mkdir(exist_ok=True)
        path.rename(folder / "deep" / "mnist" / path.name)
    monkeypatch.setenv("FRACTALKIT_DATA", str(folder / "deep"))
    assert len(load_images("mnist", "test")) == 5
    with pytest.raises(DataError, match=r"lacks t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz .*put them there"):
        load_images("mnist", "test", folder=folder)
    with pytest.raises(DataError, match="is not a folder"):
        load_images("mnist", "test", folder=folder / "none")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda b: b[:-1], "is cut off: 3,919 of 3,920 values"),
        (lambda b: b[:9], "cut off in its header"),
        (lambda b: b + b"0", "more than the 3,920"),
        (lambda b: b"\x00\x00\x0d\x03" + b[4:], "not an idx file of bytes"),
        (lambda b: b"", "begins with nothing"),
        (lambda b: b[:4] + b"\xff\xff\xff\xff" + b[8:], "promises 4294967295 x 28 x 28"),
        (lambda b: b[:4] + b"\x00\x0f\x00\x00" + b[8:], "is cut off: 3,920"),
        (lambda b: gzip.compress(b)[:-30], "cannot be read"),
        (lambda b: b"\x1f\x8b" + b, "cannot be read"),
        (lambda b: gzip.compress(b)[:20] + b"\xff" * 40, "download it again"),
    ],
)
def test_a_bad_idx_file_is_one_sentence(digits, change, words):
    path = digits[0] / "t10k-images-idx3-ubyte"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=words) as found:
        load_images("mnist", "test", folder=digits[0])
    assert path.name in str(found.value) and "\n" not in str(found.value)


def test_labels_must_fit_pictures(digits):
    path = digits[0] / "t10k-labels-idx1-ubyte"
    path.write_bytes(idx(np.zeros(4, np.uint8)))
    with pytest.raises(DataError, match="4 labels for 5 images"):
        load_images("mnist", "test", folder=digits[0])


def test_static_digits_packed_and_text_agree(tmp_path):
    bits = {s: RNG.integers(0, 2, (n, 784), np.uint8) for s, n in (("train", 6), ("valid", 3), ("test", 2))}
    (tmp_path / "a").mkdir()
    np.savez(tmp_path / "a" / mnist.PACKED, **{s: np.packbits(b, axis=1) for s, b in bits.items()})
    for split, b in bits.items():
        lines = "\n".join(" ".join(map(str, row)) for row in b) + "\n" * (split != "test")
        (tmp_path / f"binarized_mnist_{split}.amat").write_text(lines)
        for folder in (tmp_path, tmp_path / "a"):
            got = load_images("mnist-static", split, folder=folder)
            assert got.levels == 2 and np.array_equal(got.images.reshape(-1, 784), b)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 1 2\n", "characters other than 0, 1"),
        ("0 1\n", "2 values in 1 lines"),
        ("", "0 values"),
        ("0 " * 785 + "\n", "785"),
    ],
)
def test_a_bad_text_of_digits(tmp_path, text, words):
    (tmp_path / "binarized_mnist_test.amat").write_text(text)
    with pytest.raises(DataError, match=words):
        load_images("mnist-static", "test", folder=tmp_path)


def test_a_bad_archive_of_digits(tmp_path):
    path = tmp_path / mnist.PACKED
    np.savez(path, train=np.zeros((2, 97), np.uint8), valid=np.array([{}], dtype=object))
    for split, words in (
        ("train", r"not uint8 \[N, 98\]"),
        ("valid", "holds Python objects"),
        ("test", "no array test"),
    ):
        with pytest.raises(DataError, match=words):
            load_images("mnist-static", split, folder=tmp_path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match="not a NumPy archive"):
        load_images("mnist-static", "train", folder=tmp_path)
    np.save(tmp_path / "x.npy", np.zeros(3))
    (tmp_path / "x.npy").replace(path)
    with pytest.raises(DataError, match="not a NumPy archive"):
        load_images("mnist-static", "train", folder=tmp_path)


def cifar_tar(path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def test_cifar_from_the_archive_and_unpacked(tmp_path):
    rows = RNG.integers(0, 10, (6, 20, cifar.ROW), np.uint8)
    files = {f"cifar-10-batches-bin/{n}": r.tobytes() for n, r in zip((*cifar.TRAIN, *cifar.TEST), rows, strict=True)}
    (tmp_path / "cifar10").mkdir()
    cifar_tar(tmp_path / "cifar10" / cifar.ARCHIVE, {"../../evil": b"x"} | files)
    got = {s: load_images("cifar10", s, folder=tmp_path) for s in ("train", "valid", "test")}
    assert [d.images.shape for d in got.values()] == [(90, 3, 32, 32), (10, 3, 32, 32), (20, 3, 32, 32)]
    assert np.array_equal(got["test"].images.reshape(20, -1), rows[5, :, 1:])
    assert np.array_equal(got["valid"].labels, rows[4, 10:, 0])
    assert not (tmp_path.parent / "evil").exists()
    for name, data in files.items():
        (tmp_path / "b" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "b" / name).write_bytes(data)
    assert np.array_equal(load_images("cifar10", "train", folder=tmp_path / "b").images, got["train"].images)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a/test_batch.bin": bytes(100)}, "test_batch.bin: 100 bytes are not a whole number"),
        ({"a/test_batch.bin": b"\x0a" * cifar.ROW}, "label 10"),
        ({"a/other": b""}, "lacks test_batch.bin"),
        (None, "not a gzipped tar"),
    ],
)
def test_a_bad_cifar_archive(tmp_path, files, words):
    path = tmp_path / cifar.ARCHIVE
    if files is None:
        path.write_bytes(b"\x80\x04 a pickle")
    else:
        cifar_tar(path, files)
    with pytest.raises(DataError, match=words):
        load_images("cifar10", "test", folder=tmp_path)


def test_a_folder_of_pictures(tmp_path):
    for i in range(60):
        Image.new("RGB", (20 + i, 30), (i, 0, 255)).save(tmp_path / f"{i}.png")
    got = {s: load_images("images", s, folder=tmp_path, size=8) for s in ("train", "valid", "test")}
    assert [len(d) for d in got.values()] == [54, 3, 3]
    assert got["train"].images.shape[1:] == (3, 8, 8)
    reds = np.concatenate([d.images[:, 0, 0, 0] for d in got.values()])
    assert sorted(reds.tolist()) == list(range(60))
    for split in got:
        (tmp_path / split).mkdir()
    Image.new("L", (9, 5), 77).save(tmp_path / "test" / "a.jpg", quality=95)
    assert np.unique(load_folder(tmp_path, "test", size=4, channels=1).images).tolist() == [77]
    with pytest.raises(DataError, match=r"no pictures .*split valid"):
        load_folder(tmp_path, "valid", size=4)
    with pytest.raises(UsageError, match="--size"):
        load_images("images", folder=tmp_path)


def test_pictures_of_every_kind(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.full((6, 6), 0x8080, np.uint16)).save(path)
    assert np.unique(read_square(path, 3, 3)).tolist() == [0x80]
    Image.new("RGBA", (6, 6), (0, 0, 0, 0)).save(path)
    assert read_square(path, 3, 3).min() == 255
    Image.new("P", (6, 6)).save(path)
    assert read_square(path, 3, 1).shape == (1, 3, 3)
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200
    Image.fromarray(wide).save(path)
    assert np.unique(read_square(path, 10, 3)).tolist() == [200]


def test_bad_pictures(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.fromarray(RNG.integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    whole = path.read_bytes()
    monkeypatch.setattr("fractalkit.data.images.MAX_SOURCE_PIXELS", 1599)
    with pytest.raises(DataError, match="40 x 40 pixels are more"):
        read_square(path, 4, 3)
    monkeypatch.setattr("fractalkit.data.images.MAX_SOURCE_PIXELS", MAX_SOURCE_PIXELS)
    for data in (whole[:600], b"", b"GIF89a", whole[:16] + b"\xff" * 8 + whole[24:]):
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"a\.png: .*"):
            read_square(path, 4, 3)


def test_downloads_are_checked_and_never_half_written(tmp_path):
    source = tmp_path / "a.bin"
    source.write_bytes(b"abc" * 1000)
    url, md5 = source.as_uri(), hashlib.md5(source.read_bytes()).hexdigest()
    target = tmp_path / "cache"
    assert fetch_all(target, [Remote(url, 3000, md5)]) == [target / "a.bin"]
    assert (target / "a.bin").read_bytes() == source.read_bytes()
    (target / "a.bin").unlink()
    for remote, words in (
        (Remote(url, 2999, md5), "more than 2,999"),
        (Remote(url, 3001, md5), "3,000 of 3,001"),
        (Remote(url, 3000, "0" * 32), "sent a different file"),
        (Remote(url + "x", 3000, md5), "cannot be downloaded"),
    ):
        with pytest.raises(DataError, match=words):
            fetch(remote, target / "a.bin")
        assert list(target.iterdir()) == []


def test_without_a_network_the_sentence_names_folder_and_files(tmp_path, monkeypatch):
    monkeypatch.delenv("FRACTALKIT_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    gone = (tmp_path / "gone").as_uri() + "/"
    monkeypatch.setattr(mnist, "_MIRROR", gone)
    monkeypatch.setattr(mnist, "_AMAT_MIRROR", gone)
    monkeypatch.setattr(cifar, "REMOTE", Remote(gone + cifar.ARCHIVE, 1))
    for name, wanted in (
        ("mnist", "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz"),
        ("mnist-static", "binarized_mnist_train.amat"),
        ("cifar10", cifar.ARCHIVE),
    ):
        with pytest.raises(DataError) as found:
            load_images(name)
        inside = "cifar10" if name == "cifar10" else "mnist"
        assert f"or put {wanted} into {tmp_path / 'fractalkit' / inside}" in str(found.value)
    with pytest.raises(UsageError, match="folder of your own"):
        load_images("images")


def test_unknown_names():
    with pytest.raises(UsageError, match="'svhn' is unknown; choose one of mnist-static, mnist, mnist-dynamic"):
        load_images("svhn")
    with pytest.raises(UsageError, match="choose one of train, valid, test"):
        load_images("mnist", "dev")


def test_the_real_digits(shared_data):
    for name, mean in (("mnist-static", 0.1325), ("mnist", 33.79)):
        data = load_images(name, "test", folder=shared_data)
        assert data.images.shape == (10_000, 1, 28, 28) and abs(data.images.mean() - mean) < 0.01


def test_a_new_data_set_is_a_loader_and_a_line(tmp_path, monkeypatch):
    def load_blobs(folder, split, *, size=None, fetch=False):
        assert folder == tmp_path and not fetch
        return ImageSet(np.zeros((3, 1, size or 4, size or 4), np.uint8), 256, None, "blobs", split)

    monkeypatch.setitem(sys.modules, "fractalkit.data.blobs", SimpleNamespace(load_blobs=load_blobs))
    monkeypatch.setitem(DATA_SETS, "blobs", "blobs.load_blobs")
    assert load_images("blobs", "valid", folder=tmp_path, size=8).images.shape == (3, 1, 8, 8)


def test_training_data_is_held_out_for_validation():
    x, y = np.arange(12), np.arange(12) % 3
    parts = {split: hold_out(split, 6, x, y) for split in ("train", "valid", "test")}
    assert [len(p[0]) for p in parts.values()] == [10, 2, 12]
    assert parts["valid"][0].tolist() == [10, 11] and parts["valid"][1].tolist() == [1, 2]
