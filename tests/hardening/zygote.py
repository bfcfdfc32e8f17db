"""Run commands in processes forked from one that has imported everything, which saves a second or two each.

Reads one JSON object a line and answers with one: {"start": {...}} with a process id, {"wait": id} with an exit code
(negative: the signal that ended it), {"poll": id} with the same or null.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import traceback

NEWNS, NEWUSER = 0x20000, 0x10000000


def small_disk(folder: str, size: int) -> bool:
    """Mount a small disk over the folder for this process alone; False if the system does not allow it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "unshare") or libc.unshare(NEWNS | (0 if os.geteuid() == 0 else NEWUSER)):
        return False
    libc.mount(b"none", b"/", None, ctypes.c_ulong(0x44000), None)  # private, all below
    return libc.mount(b"tmpfs", folder.encode(), b"tmpfs", ctypes.c_ulong(0), f"size={size}".encode()) == 0


def obey_permissions() -> None:
    """Drop root's capability to write to read-only folders."""
    libc = ctypes.CDLL(None)
    if os.geteuid() != 0 or not hasattr(libc, "capset"):
        return
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    libc.capset(header, (ctypes.c_uint32 * 6)())


def child(spec: dict) -> int:
    os.setsid()
    os.chdir(spec["folder"])
    for name, number in (("out", 1), ("err", 2)):
        handle = os.open(spec[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if spec.get("disk") and not small_disk(*spec["disk"]):
        return 77
    if spec.get("obey"):
        obey_permissions()
    if spec.get("largest"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (spec["largest"], spec["largest"]))
    from fractalkit.cli.main import main

    try:
        main(spec["words"], prog_name="fractalkit")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException:
        traceback.print_exc()
        code = 99
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    if spec.get("disk"):
        print(json.dumps(sorted(os.listdir(spec["disk"][0]))), flush=True)
    return code


def answer(asked: dict):
    if "start" in asked:
        pid = os.fork()
        if pid == 0:
            os._exit(child(asked["start"]))
        return pid
    number = asked.get("wait", asked.get("poll"))
    pid, status = os.waitpid(number, 0 if "wait" in asked else os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if pid else None


def main() -> None:
    import matplotlib
    import torch

    torch.set_num_threads(1)
    matplotlib.use("Agg")
    from importlib import import_module

    for name in (
        "cli.animate", "cli.compress", "cli.ifs", "cli.render", "cli.sample", "cli.zoom", "cli.fractalize",
        "fit.cloud", "fit.quadtree", "models.pretrained", "orbit.numba_cpu", "render.attractor", "render.preview",
        "render.zoom_ifs", "render.flame", "render.pictures", "render.rows_png", "data", "codes.presets",
    ):  # fmt: skip
        import_module(f"fractalkit.{name}")
    print("ready", flush=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
