"""Find free TCP ports on this machine, so parallel test runs do not conflict."""

import socket
from contextlib import ExitStack


def free_ports(count: int) -> list[int]:
    """Return distinct loopback ports that nothing listens on."""
    with ExitStack() as sockets:
        probes = [sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]
