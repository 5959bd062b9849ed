"""An environment of their own for the Python clients of tests/clients, because they need other versions of packages."""

import functools
import hashlib
import json
import os
import shutil
import subprocess

from tests.testing.facts import BIN, ROOT

CLIENTS = ROOT / "tests" / "clients"
REQUIREMENTS = CLIENTS / "requirements.txt"


@functools.cache
def client_python():
    """Return the Python interpreter of the environment. Installs the packages unless an earlier session has."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    folder = BIN.parent / f"clients-{digest}"
    if not (folder / "installed").exists():
        shutil.rmtree(folder, ignore_errors=True)
        uv = [str(BIN / "uv"), "--quiet"]
        subprocess.run([*uv, "venv", "--python", str(BIN / "python"), str(folder)], check=True, timeout=60)
        install = [*uv, "pip", "install", "--python", str(folder / "bin" / "python"), "--requirement"]
        subprocess.run([*install, str(REQUIREMENTS)], check=True, timeout=300)
        (folder / "installed").touch()
    return folder / "bin" / "python"


def run_client(script, url, key, request):
    """Run a script of tests/clients and return what it prints, {variant: [[index, score], ...]}.

    Args:
        script: Name of the script.
        url: Address of the service.
        key: Key of the service.
        request: Query, texts and number of results.
    """
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [client_python(), CLIENTS / script],
        input=json.dumps(request),
        env={**environment, "SERVICE_URL": url, "SERVICE_KEY": key, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
