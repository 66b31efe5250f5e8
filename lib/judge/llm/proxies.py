"""Which addresses go through a proxy of the environment: never those of this machine, where no proxy can reach them."""

from __future__ import annotations

import ipaddress
import socket

import httpx2


def stays_here(url: str) -> bool:
    """Whether an address is one of this machine's own: localhost, 127.0.0.0/8, ::1, or 0.0.0.0, which servers print."""
    try:
        host = httpx2.URL(url).host.rstrip(".")
    except httpx2.InvalidURL:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        found = ipaddress.ip_address(
            host if ":" in host else socket.inet_aton(host)
        )  # inet_aton: 127.1 is an address too
    except (ValueError, OSError):
        return False
    found = getattr(found, "ipv4_mapped", None) or found
    return found.is_loopback or found.is_unspecified
