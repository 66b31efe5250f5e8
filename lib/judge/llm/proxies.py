"""Whether an address is on this machine, so that no proxy is used for it."""

from __future__ import annotations

import ipaddress
import socket

import httpx2


def stays_here(url: str) -> bool:
    """Whether an address is one of this machine's own, which a proxy cannot reach.

    These are localhost, 127.0.0.0/8, ::1, and 0.0.0.0, which servers print.
    """
    try:
        host = httpx2.URL(url).host.rstrip(".")
    except httpx2.InvalidURL:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        # inet_aton reads short forms too, such as 127.1.
        address = ipaddress.ip_address(host if ":" in host else socket.inet_aton(host))
    except (ValueError, OSError):
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified
