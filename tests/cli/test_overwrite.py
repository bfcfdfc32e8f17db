"""A code that somebody edited is not replaced by accident."""

from click.testing import CliRunner

from fractalkit.cli.main import main
from fractalkit.codes import load


def call(*words):
    return CliRunner().invoke(main, ["ifs", *words, "--points", "300", "--no-preview"])


def test_edited_codes_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # what the command itself wrote is replaced without a word
        assert call("sierpinski-triangle").exit_code == 0
        assert call("sierpinski-triangle.ifs.ply", "--maps", "3", "--effort", "0", "-o", "found.ply").exit_code == 0
    for name, words in (
        ("sierpinski-triangle", ["sierpinski-triangle"]),
        ("found", ["sierpinski-triangle.ifs.ply", "--maps", "3", "--effort", "0", "-o", "found.ply"]),
    ):
        path = tmp_path / f"{name}.ifs.json"
        code = load(path)
        text = path.read_text().replace(repr(float(code.offsets[1, 0])), "0.25")
        for edited in (text, "mine"):
            path.write_text(edited)
            refused = call(*words)
            assert refused.exit_code == 2 and "was edited" in refused.stderr and path.read_text() == edited
        assert call(*words, "--force").exit_code == 0 and load(path).matrices.shape == code.matrices.shape
