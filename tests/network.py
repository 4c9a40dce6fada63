"""Run commands with loopback alone for a network, and record each name and address they ask for.

`recorded` starts this file as the first process of namespaces of its own (Linux, `unshare`): all
packets to other machines end in a TUN device that is read here, and all DNS queries at a name
server on loopback that knows no name. Native code and children of children are seen like Python.
Where the kernel does not permit namespaces, an audit hook in every Python process is the
substitute, which sees Python's own sockets only.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

UNSHARE = [
    "unshare",
    "--map-root-user",
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--mount-proc",
    "--kill-child",
]
TUNSETIFF, TUN_WITHOUT_HEADER = 0x400454CA, 0x1001
DEVICE, SETTLE_S = "recorder", 0.3
_PROTOCOLS = {6: "tcp", 17: "udp"}
_HOOK = """
import os, sys
def _record(event, arguments):
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1] if isinstance(arguments[1], tuple) else ()
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        address = arguments
    else:
        return
    host = str(address[0]) if address else "localhost"
    here = ("", "None", "localhost", "::1", "0.0.0.0", "::")
    if host not in here and not host.startswith("127."):
        with open(os.environ["NETWORK_RECORD"], "a") as file:
            file.write(f"{event} {host}\\n")
sys.addaudithook(_record)
"""


@dataclass(frozen=True)
class Watched:
    """A finished command and outside requests: ``"dns example.org"``, ``"tcp 192.0.2.7:443"``."""

    command: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    asked: tuple[str, ...]


def recorded(
    commands: Sequence[Sequence[str | Path]],
    *,
    env: Mapping[str, str],
    cwd: Path,
    background: Sequence[str | Path] = (),
    mounts: Mapping[Path, Path] | None = None,
) -> list[Watched]:
    """Run commands one after another, each to its end.

    Arguments:
        commands: program and arguments of each.
        env: their environment.
        cwd: their working directory.
        background: a program that runs meanwhile, from its first line of output until its input is
            closed.
        mounts: folders that the commands see in place of others: shown → real; only where
            namespaces are permitted.
    """
    whole = namespaces_permitted()
    assert whole or not mounts
    plan = {
        "commands": [[str(part) for part in command] for command in commands],
        "background": [str(part) for part in background],
        "mounts": {str(shown): str(real) for shown, real in (mounts or {}).items()},
        "cwd": str(cwd),
    }
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        (place / "plan.json").write_text(json.dumps(plan))
        (place / "sitecustomize.py").write_text(_HOOK)
        extra = {} if whole else {"PYTHONPATH": scratch, "NETWORK_RECORD": str(place / "asked")}
        start = [
            *(UNSHARE if whole else []),
            sys.executable,
            "-P",
            __file__,
            scratch,
            "namespace" if whole else "hook",
        ]
        done = subprocess.run(start, env={**env, **extra}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [
            Watched(**{**row, "command": tuple(row["command"]), "asked": tuple(row["asked"])})
            for row in json.loads((place / "watched.json").read_text())
        ]


@cache
def namespaces_permitted() -> bool:
    """Whether this process may make the namespaces, and the device in them."""
    try:
        tried = subprocess.run(
            [*UNSHARE, sys.executable, "-P", __file__], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return tried.returncode == 0


class _Record:
    """What has been asked for so far, by whichever thread or process saw it."""

    def __init__(self, hook: Path | None) -> None:
        self._seen: list[str] = []
        self._hook = hook

    def add(self, line: str) -> None:
        self._seen.append(line)

    def take(self) -> list[str]:
        """What has been added since the last call, without repetitions."""
        time.sleep(SETTLE_S)  # what was sent last is still under way
        if self._hook is not None and self._hook.exists():
            self._seen += self._hook.read_text().splitlines()
            self._hook.unlink()
        found, self._seen = self._seen, []
        return list(dict.fromkeys(found))


def _separate(record: _Record, scratch: Path) -> None:
    """Bring loopback up, lead everything else to the device, and answer DNS."""
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), TUN_WITHOUT_HEADER))
    for line in (
        "link set lo up",
        f"link set {DEVICE} up",
        f"addr add 198.51.100.1/24 dev {DEVICE}",
        f"route add default via 198.51.100.2 dev {DEVICE}",
        f"-6 addr add 2001:db8::1/64 dev {DEVICE} nodad",
        f"-6 route add default via 2001:db8::2 dev {DEVICE}",
    ):
        subprocess.run(["ip", *line.split()], check=not line.startswith("-6"), capture_output=True)
    # nobody answers: be done with it in 3 s
    Path("/proc/sys/net/ipv4/tcp_syn_retries").write_text("1")
    resolver = scratch / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    subprocess.run(["mount", "--bind", resolver, os.path.realpath("/etc/resolv.conf")], check=True)
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("127.0.0.1", 53))
    threading.Thread(target=_answer, args=(names, record), daemon=True).start()
    threading.Thread(target=_read_packets, args=(device, record), daemon=True).start()


def _answer(names: socket.socket, record: _Record) -> None:
    while True:
        query, sender = names.recvfrom(4096)
        record.add(f"dns {_queried(query)}")
        # no such name
        names.sendto(query[:2] + b"\x81\x83" + query[4:6] + bytes(6) + query[12:], sender)


def _queried(query: bytes) -> str:
    """The name that a DNS query asks for."""
    parts, at = [], 12
    while at < len(query) and query[at]:
        parts.append(query[at + 1 : at + 1 + query[at]].decode(errors="replace"))
        at += 1 + query[at]
    return ".".join(parts)


def _read_packets(device: int, record: _Record) -> None:
    while True:
        if line := _described(os.read(device, 65536)):
            record.add(line)


def _described(packet: bytes) -> str:
    """Where a TCP or UDP packet was to go; nothing for what the kernel sends by itself."""
    if packet[0] >> 4 == 4:
        protocol, target, start = (
            packet[9],
            socket.inet_ntop(socket.AF_INET, packet[16:20]),
            (packet[0] & 15) * 4,
        )
    else:
        protocol, target, start = (
            packet[6],
            f"[{socket.inet_ntop(socket.AF_INET6, packet[24:40])}]",
            40,
        )
    if protocol not in _PROTOCOLS:
        return ""
    return f"{_PROTOCOLS[protocol]} {target}:{int.from_bytes(packet[start + 2 : start + 4])}"


def _run(plan: Mapping[str, Any], record: _Record) -> list[dict[str, Any]]:
    for shown, real in plan["mounts"].items():
        subprocess.run(["mount", "--bind", real, shown], check=True)
    if not plan["background"]:
        return [_watch(command, plan["cwd"], record) for command in plan["commands"]]
    with subprocess.Popen(
        plan["background"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=plan["cwd"]
    ) as other:
        assert other.stdout is not None and other.stdout.readline()
        first = {
            "command": plan["background"],
            "returncode": 0,
            "stdout": "",
            "stderr": "",
            "asked": record.take(),
        }
        rest = [_watch(command, plan["cwd"], record) for command in plan["commands"]]
        other.communicate()
    return [{**first, "asked": first["asked"] + record.take()}, *rest]


def _watch(command: Sequence[str], cwd: str, record: _Record) -> dict[str, Any]:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    said = {"returncode": done.returncode, "stdout": done.stdout, "stderr": done.stderr}
    return {"command": list(command), **said, "asked": record.take()}


def main() -> None:
    """Without arguments, only try whether it can be done."""
    if len(sys.argv) == 1:
        with tempfile.TemporaryDirectory() as scratch:
            return _separate(_Record(None), Path(scratch))
    scratch, how = Path(sys.argv[1]), sys.argv[2]
    record = _Record(scratch / "asked" if how == "hook" else None)
    if how == "namespace":
        _separate(record, scratch)
    plan = json.loads((scratch / "plan.json").read_text())
    (scratch / "watched.json").write_text(json.dumps(_run(plan, record)))


if __name__ == "__main__":
    main()
