"""The studio over HTTP and WebSocket: who may talk to it, what it refuses, and what it gives."""

import contextlib
import http.client
import io
import json
import signal
import struct
import threading
import time
import urllib.request
from _thread import interrupt_main

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette")
pytest.importorskip("httpx")
testclient = pytest.importorskip("starlette.testclient")

from fractalkit import fk  # noqa: E402
from fractalkit.codes.affine import AffineIFS  # noqa: E402
from fractalkit.codes.flame import read_flames  # noqa: E402
from fractalkit.codes.flame_parts import Xform  # noqa: E402
from fractalkit.codes.presets import preset  # noqa: E402
from fractalkit.errors import DataError  # noqa: E402
from fractalkit.raster.png import save_png  # noqa: E402
from fractalkit.studio import offers, routes  # noqa: E402
from fractalkit.studio.codes import code_of_flame, flame_of_code, opened, read_bytes  # noqa: E402
from fractalkit.studio.journal import Journal  # noqa: E402
from fractalkit.studio.plain import from_plain, to_plain  # noqa: E402
from fractalkit.studio.solid import affine_of, blocks_of  # noqa: E402
from fractalkit.studio.studio import Studio  # noqa: E402
from fractalkit.studio.tasks import QUICK, Tasks  # noqa: E402

PORT, TOKEN = 7999, "secret"
LIVE = f"ws://127.0.0.1:{PORT}/{TOKEN}/live"
HOME = f"http://127.0.0.1:{PORT}/{TOKEN}/"
OURS = {"origin": f"http://127.0.0.1:{PORT}"}


@pytest.fixture
def studio():
    made = Studio(Journal(None))
    yield made
    made.close()


@pytest.fixture
def client(studio):
    app = routes.application(studio, TOKEN, PORT)
    with testclient.TestClient(app, base_url=HOME, raise_server_exceptions=False) as client:
        yield client


def plain(name="sierpinski"):
    return to_plain(offers.start(name))


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/", {}),
        ("/wrong/", {}),
        ("/static/main.js", {}),
        (f"/{TOKEN}/", {"host": "evil.example"}),
        (f"/{TOKEN}/", {"host": "127.0.0.1:1"}),
        (f"/{TOKEN}/starts.json", {"origin": "http://evil.example"}),
        (f"/{TOKEN}/starts.json", {"origin": "null"}),
        (f"/{TOKEN}/starts.json", {"sec-fetch-site": "cross-site"}),
    ],
)
def test_strangers_are_refused(client, path, headers):
    answer = client.get(f"http://127.0.0.1:{PORT}{path}", headers=headers)
    assert answer.status_code == 403 and "studio" in answer.text


@pytest.mark.parametrize("headers", [{}, {"origin": "http://evil.example"}])
def test_other_pages_get_no_socket(client, headers):
    with pytest.raises(testclient.WebSocketDisconnect), client.websocket_connect(LIVE, headers=headers):
        pass


def test_the_page_fetches_nothing_from_elsewhere(client):
    answer = client.get("")
    policy = answer.headers["content-security-policy"]
    assert answer.status_code == 200 and "default-src 'none'" in policy and f"ws://127.0.0.1:{PORT}" in policy
    for path in routes.STATIC.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/", "")
        assert "http://" not in text and "https://" not in text, path.name
        assert client.get(f"static/{path.name}").status_code == 200
    assert client.get("static/../server.py").status_code in (403, 404)


def test_what_it_offers(client):
    found = client.get("variations.json").json()
    assert len(found) > 500 and found[0]["family"] == "classic"
    assert {v["name"]: v["parameters"] for v in found}["julian"] == {"power": 1.0, "dist": 1.0}
    assert client.get("variation/julian.png").content.startswith(b"\x89PNG")
    assert client.get("variation/no-such.png").status_code == 400
    palettes = {p["name"]: p["colours"] for p in client.get("palettes.json").json()}
    assert {"opal", "viridis"} <= set(palettes) and all(len(c) == 1536 for c in palettes.values())
    for start in client.get("starts.json").json():
        assert client.get(f"starts/{start['name']}.jpg").content.startswith(b"\xff\xd8")
        from_plain(client.get(f"start/{start['name']}.json").json())


def messages(socket, until):
    """Messages of the server, pictures as their headers, until one fits."""
    for _ in range(400):
        message = socket.receive()
        if message.get("bytes") is not None:
            size = struct.unpack("<I", message["bytes"][:4])[0]
            found = {
                "type": "picture",
                "data": message["bytes"][4 + size :],
                **json.loads(message["bytes"][4 : 4 + size]),
            }
        else:
            found = json.loads(message["text"])
        yield found
        if until(found):
            return
    raise AssertionError("the message never came")


def last(socket, kind, **fields):
    return list(messages(socket, lambda m: m["type"] == kind and all(m.get(k) == v for k, v in fields.items())))[-1]


def test_edits_are_states_that_other_pages_see(client, studio):
    with client.websocket_connect(LIVE, headers=OURS) as one, client.websocket_connect(LIVE, headers=OURS) as two:
        first = last(one, "state")
        assert first["fresh"] and first["at"] == 1
        last(two, "state")
        flame = first["flame"]
        flame["settings"]["name"] = "moved"
        one.send_text(json.dumps({"type": "commit", "flame": flame, "label": "name"}))
        seen = last(two, "state")
        assert seen["flame"]["settings"]["name"] == "moved" and seen["new"]["label"] == "name" and seen["undo"]
        two.send_text(json.dumps({"type": "undo"}))
        assert last(one, "state", at=1)["redo"]
        one.send_text(json.dumps({"type": "redo"}))
        assert last(two, "state", at=2)["flame"]["settings"]["name"] == "moved"
        one.send_text(json.dumps({"type": "go", "id": 1}))
        assert last(two, "state", at=1)["redo"]
    assert (
        client.get("history/2.jpg").content.startswith(b"\xff\xd8") and client.get("history/9.jpg").status_code == 400
    )


def test_a_picture_comes_rough_and_then_whole(client):
    with client.websocket_connect(LIVE, headers=OURS) as socket:
        wish = {"type": "draw", "flame": plain(), "width": 480, "height": 360, "serial": 5, "live": False}
        socket.send_text(json.dumps(wish))
        rough = last(socket, "picture", serial=5)
        assert rough["data"].startswith(b"\xff\xd8") and rough["width"] < 480
        assert last(socket, "picture", width=480)["quality"] > 1


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", "NaN", '{"type": "no-such"}', '{"type": []}', '{"type": "draw"}', '{"type": "commit", "flame": 1}',
     '{"type": "go", "id": 1e99}', '{"type": "task", "work": "no-such"}', '{"type": "go", "id": true}',
     '{"type": "task", "work": "render", "width": 99999999, "height": 1}', "[" * 100_000],
)  # fmt: skip
def test_nonsense_is_answered_by_a_sentence(client, text):
    with client.websocket_connect(LIVE, headers=OURS) as socket:
        socket.send_text(text)
        message = last(socket, "error")["message"]
        assert message and "\n" not in message and not message.startswith("unexpected")
        socket.send_text(json.dumps({"type": "undo"}))  # it still listens


def test_a_rendered_png_opens_again_as_its_flame(client, studio):
    flame = plain("lace")
    with client.websocket_connect(LIVE, headers=OURS) as socket:
        given = {"width": 64, "height": 48, "quality": 2, "oversample": 1, "flame": flame}
        socket.send_text(json.dumps({"type": "task", "work": "render", **given}))
        done = last(socket, "task", state="done")
    answer = client.get(f"task/{done['id']}/{done['files'][0]}")
    assert answer.content.startswith(b"\x89PNG") and "attachment" in answer.headers["content-disposition"]
    found = client.post("import?name=a.png", content=answer.content).json()["flames"][0]
    assert found["settings"]["size"] == [64, 48] and found["xforms"] == flame["xforms"]
    assert client.get(f"task/{done['id']}/../../x").status_code in (400, 403, 404)
    assert client.get("task/99/x.png").status_code == 400


def test_relatives_and_films_and_pages_are_made(client):
    with client.websocket_connect(LIVE, headers=OURS) as socket:
        small = {"flame": plain(), "flames": [plain()], "width": 32, "height": 24, "quality": 2}
        film = {"type": "task", "work": "film", "frames": 3, "fps": 10, "format": "gif", "loop": True}
        relatives = {
            "type": "task",
            "work": "relatives",
            "kind": "mutants",
            "count": 2,
            "seed": 1,
            "strength": 0.5,
            "key": 3,
        }
        for message in (film, relatives):
            socket.send_text(json.dumps(message | small))
        assert last(socket, "task", work="film", state="done")["files"] == ["flame.gif"]
        found = last(socket, "task", work="relatives", state="done", key=3)["result"]
        assert len(found) == 2 and from_plain(found[0]["flame"]).xforms
        assert found[0]["picture"].startswith("data:image/jpeg;base64,")


def test_what_is_quick_does_not_wait_for_what_is_slow():
    told, begun, over, tasks = [], threading.Event(), threading.Event(), Tasks(lambda facts: None)
    try:
        slow = tasks.add("slow", lambda task: begun.set() or over.wait(60))
        later = tasks.add("later", lambda task: told.append("later"))
        assert begun.wait(60)
        quick = threading.Event()
        tasks.add("quick", lambda task: quick.set(), lane=QUICK)
        assert quick.wait(60) and slow.state == "running" and later.state == "waiting"
        tasks.stop(later.id)
        assert later.state == "stopped"
        over.set()
        last_one = threading.Event()
        tasks.add("last", lambda task: last_one.set())
        assert last_one.wait(60) and told == [] and slow.state == "done"
    finally:
        over.set()
        tasks.close()


def test_a_task_that_is_stopped_leaves_no_files(client, studio):
    with client.websocket_connect(LIVE, headers=OURS) as socket:
        given = {"width": 900, "height": 900, "quality": 4000, "oversample": 1, "flame": plain()}
        socket.send_text(json.dumps({"type": "task", "work": "render", **given}))
        task = last(socket, "task", state="running")
        socket.send_text(json.dumps({"type": "stop", "id": task["id"]}))
        assert last(socket, "task", state="stopped")["files"] == []


def test_text_goes_out_and_comes_back(client):
    flame = plain("lace")
    text = client.post("export/flame", content=json.dumps(flame)).json()["text"]
    assert read_flames(text.encode())[0].same(from_plain(flame))
    again = client.post("import?name=pasted", content=text).json()
    assert again["flames"] == [flame] and again["notes"] == []
    refused = client.post("export/ifs.json", content=json.dumps(flame))
    assert refused.status_code == 400 and "has the variation" in refused.json()["error"]
    code = client.post("export/ifs.json", content=json.dumps(plain())).json()["text"]
    assert len(AffineIFS.from_json(code)) == 3


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.flame", b"<flame"), ("a.flame", b"<flames></flames>"), ("a.png", b"\x89PNG\r\n\x1a\nxx"), ("a.json", b"{}"),
        ("a.json", b"[" * 10_000), ("a.xyz", b"1 2 3"), ("a.fk", b"\x8fFK\n"), ("../../a.flame", b""),
        ("a.flame", b'<!DOCTYPE x [<!ENTITY a "b">]><flame/>'), ("a.safetensors", b"\xff" * 64),
    ],
)  # fmt: skip
def test_hostile_files_are_refused_by_one_sentence(client, name, data):
    answer = client.post("import", params={"name": name}, content=data)
    sentence = answer.json()["error"]
    assert answer.status_code == 400 and sentence.startswith(name) and "\n" not in sentence and "/tmp" not in sentence


def test_malformed_clouds_and_codes_of_a_million_maps_are_refused_by_one_sentence(client, shared_data):
    given = [(f.name, f.read_bytes()) for f in sorted((shared_data / "clouds" / "malformed").iterdir())]
    assert len(given) > 10
    each = '<xform weight="1" linear="1" coefs="1 0 0 1 0 0"/>'
    given.append(("million.flame", f"<flame>{1_000_000 * each}</flame>".encode()))
    maps = ",".join(1_000_000 * ['{"a":[[0.5,0],[0,0.5]],"b":[0,0]}'])
    given.append(("million.ifs.json", f'{{"format":"fractalkit-ifs","version":1,"dim":2,"maps":[{maps}]}}'.encode()))
    for name, data in given:
        for path in ("import", "subject", "photo", "palette")[: 1 if "million" in name else 4]:
            answer = client.post(path, params={"name": name}, content=data)
            sentence = answer.json()["error"]
            assert answer.status_code == 400 and sentence.startswith(name) and "\n" not in sentence
            assert "/tmp" not in sentence and "unexpected" not in sentence


def test_uploads_are_bounded(client, monkeypatch):
    monkeypatch.setattr(routes, "MAX_UPLOAD", 1000)
    assert "larger than" in client.post("import?name=a.flame", content=b"x" * 2000).json()["error"]


def test_colours_of_a_picture(client, tmp_path):
    save_png(tmp_path / "a.png", np.tile(np.array([[[200, 30, 40]]], np.uint8), (16, 16, 1)))
    answer = client.post("palette?name=a.png", content=(tmp_path / "a.png").read_bytes()).json()
    assert answer["palette"][:2] == "c8" and len(answer["palette"]) == 1536
    assert "a.png" in client.post("palette?name=a.png", content=b"no picture").json()["error"]


def test_the_frame_is_found_again(client):
    flame = plain()
    lost = json.loads(json.dumps(flame))
    lost["settings"]["center"], lost["settings"]["scale"] = [4.0, 4.0], 20.0
    found = client.post("frame", content=json.dumps(lost)).json()["settings"]
    assert found["scale"] == pytest.approx(flame["settings"]["scale"], rel=0.1)


def test_an_affine_code_is_a_flame_and_comes_back(tmp_path):
    code = AffineIFS(np.array([[[0.5, 0.2], [-0.1, 0.4]], [[0.3, 0], [0, 0.6]]]), np.array([[0.1, 0.2], [0.5, -0.3]]))
    again = code_of_flame(flame_of_code(code))
    assert np.allclose(again.matrices, code.matrices) and np.allclose(again.offsets, code.offsets)
    code.save(tmp_path / "a.ifs.json")
    assert len(opened(tmp_path / "a.ifs.json")[0].xforms) == 2
    assert len(read_bytes((tmp_path / "a.ifs.json").read_bytes(), "dropped")[0].xforms) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f["xforms"][0].update(coefs=[1.2, 0, 0, 1.2, 0, 0]), "does not contract"),
        (lambda f: f["xforms"][1].update(chaos=[0.0, 1.0, 1.0]), "xaos"),
        (lambda f: f["finals"].append(f["xforms"][0]), "final"),
    ],
)
def test_what_a_code_cannot_hold_is_named(change, words):
    flame = plain()
    change(flame)
    with pytest.raises(DataError, match=words):
        code_of_flame(from_plain(flame))


@pytest.mark.parametrize("name", ["nautilus", "fern-3d"])
def test_codes_in_space_are_flames_and_come_back(name):
    code = preset(name)
    flame = flame_of_code(code)
    again = code_of_flame(from_plain(to_plain(flame)))
    assert np.allclose(again.matrices, code.matrices) and np.allclose(again.offsets, code.offsets)
    assert len(code_of_flame(flame_of_code(AffineIFS(np.eye(3)[None] / 2, np.zeros((1, 3)))))) == 1


def test_any_matrix_of_space_is_a_map_of_a_flame():
    rng = np.random.default_rng(0)
    flat, zero = np.diag([0.5, 0.0, 0.2]), np.zeros((3, 3))
    edge = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])[:, [1, 2, 0]]  # a rotation at the end of an angle's range
    for a in (*rng.normal(size=(20, 3, 3)), flat, zero, edge, -np.eye(3)):
        t = rng.normal(size=3)
        found = affine_of(Xform(1.0, variations={"linear3D": 1.0}, **blocks_of(a, t)))
        assert np.allclose(found[0], a, atol=1e-12) and np.allclose(found[1], t)


def test_photographs_become_collages(client, tmp_path):
    rng = np.random.default_rng(0)
    photo = (255 * rng.random((32, 48, 3))).astype(np.uint8)
    save_png(tmp_path / "a.png", photo)
    data = (tmp_path / "a.png").read_bytes()
    one, two = (client.post("photo?name=a.png", content=data).json() for _ in range(2))
    assert (one["width"], one["height"], one["kind"]) == (48, 32, "photo") and one["id"] != two["id"]
    plain_wish = {"tiles": 4, "texture": 0.5, "blend": 0.5, "depth": 0, "own": 1, "turn": 0, "flip": 0, "detail": -1}
    at = {"x": 0.5, "y": 0.5, "zoom": 1, "width": 96, "height": 64, "style": 0}

    def view(**other):
        answer = client.get(f"photo/{one['id']}.jpg", params=plain_wish | at | other)
        return answer if answer.status_code != 200 else np.asarray(Image.open(io.BytesIO(answer.content)))

    seen = view()
    assert seen.shape == (64, 96, 3)
    small = seen.reshape(32, 2, 48, 2, 3).mean((1, 3)).reshape(4, 8, 4, 12, 3).mean((1, 3))
    assert np.abs(small - photo.reshape(4, 8, 4, 12, 3).mean((1, 3))).mean() < 6  # tiles have the photograph's means
    assert np.abs(view(zoom=16).astype(int) - seen).mean() > 3 and view(zoom=5000.5).ndim == 3
    assert np.abs(view(style=two["id"], turn=1).astype(int) - seen).mean() > 1
    assert view(depth=2).shape == (64, 96, 3)
    for wrong in ({"tiles": 1}, {"texture": "nan"}, {"zoom": 0}, {"width": 99999}, {"style": 999}, {"depth": "x"}):
        answer = view(**wrong)
        assert answer.status_code == 400 and "\n" not in answer.json()["error"]
    assert client.get("photo/999.jpg").status_code == 400


@pytest.mark.slow
def test_a_compressed_picture_is_looked_into(client):
    ramp = np.tile(np.arange(0, 240, 5, dtype=np.uint8), (32, 1))
    data = fk.encode(ramp, method="quadtree", effort=0).to_bytes()
    found = client.post("photo?name=a.fk", content=data).json()
    assert (found["width"], found["kind"]) == (48, "fk")
    at = {"x": 0.9, "y": 0.5, "zoom": 8, "width": 48, "height": 32}
    for detail in (-1, 1):
        answer = client.get(f"photo/{found['id']}.jpg", params=at | {"detail": detail})
        seen = np.asarray(Image.open(io.BytesIO(answer.content)))
        assert seen.shape == (32, 48, 3) and 190 < seen.mean() < 245  # the right end of the ramp


@pytest.mark.parametrize("path", ["subject", "photo"])
@pytest.mark.parametrize(
    ("name", "data"),
    [("a.ply", b"ply"), ("a.png", b"\x89PNG\r\n\x1a\nxx"), ("a.xyz", b"1 2 3"), ("a.fk", b"\x8fFK\n"), ("../../a", b""),
     ("a.npy", b"\x93NUMPY" + bytes(60)), ("a.xyz", b"nan nan nan\n" * 40), ("a.xyz", b"1 1 1\n" * 40),
     ("a.xyz", b"".join(b"%d1e300 %d 1\n" % (k, k) for k in range(40)))],
)  # fmt: skip
def test_hostile_drops_are_refused_by_one_sentence(client, path, name, data):
    answer = client.post(path, params={"name": name}, content=data)
    sentence = answer.json()["error"]
    assert answer.status_code == 400 and sentence.startswith(name) and "\n" not in sentence and "/tmp" not in sentence


@pytest.mark.parametrize("name", ["a.\0", "a." + "\u00e9" * 190, ""])
def test_names_of_drops_may_be_anything(client, name):
    for path in ("subject", "photo", "import", "palette"):
        answer = client.post(path, params={"name": name}, content=b"x")
        assert answer.status_code == 400 and "unexpected" not in answer.json()["error"]


def test_points_and_meshes_of_codes(client):
    with client.websocket_connect(LIVE, headers=OURS) as socket:
        named = plain()
        named["settings"]["name"] = "\u043b\u0435\u0441 /.. 1"
        socket.send_text(json.dumps({"type": "task", "work": "points", "count": 5, "format": "xyz", "flame": named}))
        done = last(socket, "task", state="done")
        assert client.get(f"task/{done['id']}/{done['files'][0]}").status_code == 200
        given = {"type": "task", "work": "points", "count": 1000, "format": "ply", "flame": plain()}
        socket.send_text(json.dumps(given))
        done = last(socket, "task", state="done")
        assert client.get(f"task/{done['id']}/{done['files'][0]}").content.startswith(b"ply")
        for wrong, words in (({"flame": plain("lace")}, "variation"), ({"work": "mesh", "format": "stl"}, "in space")):
            socket.send_text(json.dumps(given | wrong))
            assert words in last(socket, "error")["message"]


def test_the_first_page_has_a_choice_and_later_ones_the_work():
    journal = Journal(None)
    one = Studio(journal)
    one.put(plain("lace"), "lace")
    one.close()
    two = Studio(journal)
    assert not two.fresh and two.facts()["flame"] == plain("lace")
    two.close()


def test_the_card_gets_its_engine_and_the_structure_of_a_flame(client):
    assert "class Engine" in client.get("engine.js").text
    made = client.post("structure?width=64&height=48", content=json.dumps(plain())).json()
    assert made["size"] == [64, 48] and made["maps"] == 3 and "@compute" in made["shader"]
    for asked in (
        "structure",
        "structure?width=0&height=9",
        "structure?width=-1&height=9",
        "structure?width=1e9&height=9",
    ):
        assert "expected a whole number" in client.post(asked, content=json.dumps(plain())).json()["error"]


def test_ctrl_c_ends_quietly_while_requests_are_answered(studio, monkeypatch, capfd):
    pytest.importorskip("uvicorn")
    from fractalkit.studio.server import bound, serve

    asked = threading.Event()
    monkeypatch.setattr(offers, "variation_picture", lambda name: (asked.set(), time.sleep(2.5), b"late")[2])
    at = bound(None)

    def get():
        with contextlib.suppress(OSError, http.client.HTTPException):
            urllib.request.urlopen(f"http://127.0.0.1:{at.getsockname()[1]}/{TOKEN}/variation/swirl.png").read()

    def press():
        asked.wait(20)
        interrupt_main()

    def ready():
        for act in (get, press):
            threading.Thread(target=act, daemon=True).start()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a process of pytest-xdist ignores the signal
    try:
        with at, pytest.raises(KeyboardInterrupt):
            serve(studio, at, TOKEN, ready)
    finally:
        signal.signal(signal.SIGINT, before)
    assert asked.is_set() and capfd.readouterr().err == ""
