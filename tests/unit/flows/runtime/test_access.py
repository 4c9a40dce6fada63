"""The names and origins that a server answers to."""

from __future__ import annotations

import socket

from flows.runtime.access import Access


def test_a_server_that_listens_everywhere_answers_to_the_names_that_it_is_known_by(monkeypatch):
    monkeypatch.setenv("FOVEAL_ALLOWED_HOSTS", "foveal.example, other.example:*")
    access = Access.of("0.0.0.0", 4200)  # noqa: S104

    def refused(host: str, origin: str = "") -> bool:
        return bool(
            access.refusal("POST", [("host", host), *([("origin", origin)] if origin else [])])
        )

    assert not refused(
        f"{socket.gethostname().lower()}:4200", f"http://{socket.gethostname().lower()}:4200"
    )
    assert not refused("127.0.0.1:4200") and refused("127.0.0.1:4201") and refused("127.0.0.1")
    assert not refused("foveal.example", "https://foveal.example") and refused(
        "foveal.example.evil"
    )
    # a proxy that puts its own name into Host
    assert not refused("127.0.0.1:4200", "https://foveal.example")
    assert not refused("other.example:81") and refused(
        "other.example:81", "http://other.example:82"
    )
