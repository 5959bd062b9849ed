"""The console command `rradistill <job> ...`, short for `python -m ray_jobs.<job> ...`."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

_JOBS = Path(__file__).parents[1]


def main() -> None:
    """Run the job that the first argument names. Without arguments, or with --help, list the jobs."""
    names = sorted(path.stem for path in _JOBS.glob("*.py") if path.stem != "__init__")
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print("usage: rradistill JOB RUN.yaml [--KEY VALUE ...]\n\njobs:")
        width = max(map(len, names)) + 2
        for name in names:
            print(f"  {name:<{width}}{_summary(_JOBS / f'{name}.py')}")
        sys.exit(0 if len(sys.argv) > 1 else 2)
    job = sys.argv[1].replace("-", "_")
    if job not in names:
        print(f"error: unknown job {sys.argv[1]!r}; use one of {', '.join(names)}", file=sys.stderr)
        sys.exit(2)
    sys.argv = [f"rradistill {job}", *sys.argv[2:]]
    runpy.run_module(f"ray_jobs.{job}", run_name="__main__", alter_sys=True)


def _summary(path: Path) -> str:
    """Return the first line of a module's docstring without importing the module."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
