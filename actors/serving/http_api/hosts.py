"""Which Host headers the service accepts, so that a web page cannot reach a service on its visitor's machine."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

_INTERNAL_SUFFIXES = (".local", ".localhost", ".svc", ".internal")


class AllowedHosts:
    """Decides whether the Host header of a request is accepted.

    DNS rebinding lets a web page send requests to a local address under the page's own domain name. Without keys, the
    default therefore accepts only names that no public domain can have: IP addresses, names without a dot, and names
    that end in .local, .localhost, .svc or .internal. With keys, the default accepts all, because the page has no key.
    """

    def __init__(self, names: Sequence[str] | None, keys_required: bool) -> None:
        """Store the names.

        Args:
            names: Accepted names without ports; `*` accepts all and `*.example.com` all subdomains. None for the
                default.
            keys_required: Whether requests need a key.
        """
        self._names = None if names is None else [name.lower().rstrip(".") for name in names]
        self._any = "*" in names if names is not None else keys_required

    def accepts(self, host: str) -> bool:
        """Return whether a Host header, with or without a port, is accepted."""
        if self._any:
            return True
        name = _without_port(host).lower().rstrip(".")
        if self._names is None:
            return _is_internal(name)
        return any(
            name == allowed or (allowed.startswith("*.") and name.endswith(allowed[1:])) for allowed in self._names
        )


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_internal(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return bool(name) and ("." not in name or name.endswith(_INTERNAL_SUFFIXES))
    return True
