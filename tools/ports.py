"""Ports of this machine that nobody listens on, so that two test runs do not meet."""

import socket
from contextlib import ExitStack


def free_ports(count):
    """Find ports, each another one."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]
