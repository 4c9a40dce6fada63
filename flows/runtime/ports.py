"""Ports that servers are to take, and the processes that have them."""

from __future__ import annotations

import socket

import psutil

from flows.runtime.processes import describe


def holder(host: str, port: int) -> str | None:
    """Return why a server could not listen there, and the process if known; None if it could."""
    with socket.socket() as probe:
        # as servers do: one that has just ended is no harm
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return _listener(port) or str(error.strerror)
    return None


def _listener(port: int) -> str | None:
    try:
        found = [
            connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
            and connection.laddr
            and connection.laddr.port == port
        ]
    except psutil.Error:
        return None
    return next(
        (describe(pid) for pid in found if pid), "a process of another user" if found else None
    )
