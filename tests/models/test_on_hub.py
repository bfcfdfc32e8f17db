"""The hub without network access: a local folder, and a local server with the same protocol."""

import base64
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from fractalkit.models.pretrained import from_pretrained
from tests.models.tiny import build

pytest.importorskip("huggingface_hub")
NAME = "someone/small-digits"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def model():
    made = build().eval()
    made.about = {"data": "noise", "steps": 0}
    return made


def same(a, b):
    return all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


def test_a_folder_there_and_back(model, tmp_path):
    from fractalkit.models.on_hub import HubModel

    HubModel(model).save_pretrained(tmp_path / "small-digits")
    files = {p.name for p in (tmp_path / "small-digits").iterdir()}
    assert files == {"model.safetensors", "config.json", "README.md"}
    config = json.loads((tmp_path / "small-digits" / "config.json").read_text())
    assert config["architecture"] == "vdvae" and config["width"] == model.config.width
    back = from_pretrained(tmp_path / "small-digits")
    assert same(model, back) and back.about == {"data": "noise", "steps": 0}
    assert "library_name: fractalkit" in (tmp_path / "small-digits" / "README.md").read_text()


class Hub(BaseHTTPRequestHandler):
    """The endpoints of the hub that uploads and downloads need; files are kept in the server's dictionary."""

    def log_message(self, *args):
        pass

    def answer(self, body, **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_POST(self):
        length = self.headers.get("Content-Length")
        body = self.rfile.read(int(length)) if length else self.chunks()
        host = f"http://{self.headers['Host']}"
        if self.path.endswith("/repos/create"):
            self.answer({"url": f"{host}/{NAME}", "name": NAME})
        elif self.path.endswith("/validate-yaml"):
            self.answer({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            asked = json.loads(body)["files"]
            self.answer({"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in asked]})
        elif "/commit/" in self.path:
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    self.server.files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            self.answer({"commitUrl": f"{host}/{NAME}/commit/{COMMIT}", "commitOid": COMMIT, "pullRequestUrl": None})
        else:
            self.send_error(404)

    def chunks(self):
        out = b""
        while size := int(self.rfile.readline(), 16):
            out += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return out

    def do_GET(self):
        if "/resolve/" in self.path:
            data = self.server.files.get(self.path.split("/resolve/")[1].split("/", 1)[1])
            if data is None:
                return self.send_error(404)
            return self.answer(data, ETag=f'"{len(data)}"', X_Repo_Commit=COMMIT)
        return self.answer({"id": NAME, "sha": COMMIT, "siblings": [], "private": False})

    do_HEAD = do_GET


@pytest.fixture
def server():
    made = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    made.files = {}
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def elsewhere(code, endpoint, folder):
    """Run Python with the hub at ``endpoint``, which the library reads once, when it is imported."""
    env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "hf"), "HF_TOKEN": "hf_x"}
    env |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    env["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), env.get("PYTHONPATH", "")])
    return subprocess.run([sys.executable, "-c", code], env=env, cwd=folder, capture_output=True, text=True)


def test_upload_and_fetch(model, server, tmp_path):
    model.save_pretrained(tmp_path / "mine.safetensors", {"data": "noise"})
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    done = elsewhere(
        "from fractalkit.models.vdvae import VDVAE\n"
        f"print(VDVAE.from_pretrained('mine.safetensors').push_to_hub('{NAME}'))\n"
        f"VDVAE.from_pretrained('{NAME}').save_pretrained('fetched.safetensors')\n",
        endpoint, tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{endpoint}/{NAME}/commit/{COMMIT}"
    assert set(server.files) == {"model.safetensors", "config.json", "README.md"}
    assert f'from_pretrained("{NAME}")' in server.files["README.md"].decode()
    assert "- data: noise" in server.files["README.md"].decode()
    assert same(model, from_pretrained(tmp_path / "fetched.safetensors"))


def test_what_the_hub_lacks_is_one_sentence(server, tmp_path):
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    done = elsewhere(f"from fractalkit.cli.main import main; main(['sample', '--model', '{NAME}'])", endpoint, tmp_path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert f"{NAME}: cannot be fetched from the hub" in done.stderr
