r"""Pin the images in cluster.yaml and deploy/kuberay/ to digests, which unlike tags always name the same image.

    python -m tools.image_digests registry.example.com/rradistill:gpu@sha256:...

`docker push` and `docker buildx imagetools inspect IMAGE` print the digest. Each `image:` with the same tag, such as
`REGISTRY/rradistill:gpu`, is replaced, also one that is already pinned.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

FILES = ("cluster.yaml", "deploy/kuberay/rayjob.yaml", "deploy/kuberay/rayservice.yaml")
_PINNED = re.compile(r"[\w.:/-]+/(?P<image>[\w.-]+:[\w.-]+)@sha256:[0-9a-f]{64}")
_USED = r"(?P<key>\bimage:\s*)\S+/{image}(?:@sha256:[0-9a-f]+)?(?=\s|$)"


def pin(text: str, reference: str) -> tuple[str, int]:
    """Replace an image in the text of a YAML file.

    Args:
        text: Content of the file.
        reference: Registry, name, tag and digest of the image, such as `r.example.com/rradistill:gpu@sha256:...`.

    Returns:
        The new text, and the number of replaced images.

    Raises:
        ValueError: The reference has no registry, tag or digest.
    """
    match = _PINNED.fullmatch(reference)
    if match is None:
        raise ValueError(f"{reference!r} must be REGISTRY/NAME:TAG@sha256: followed by 64 hexadecimal digits")
    pattern = _USED.format(image=re.escape(match["image"]))
    return re.subn(pattern, lambda used: f"{used['key']}{reference}", text, flags=re.MULTILINE)


def main(references: Sequence[str], folder: Path = Path()) -> int:
    """Pin images in all files. Changes nothing if a reference is wrong. Returns the exit code."""
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in FILES}
    for reference in references:
        try:
            pinned = {name: pin(text, reference) for name, text in texts.items()}
        except ValueError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        count = sum(number for _, number in pinned.values())
        if not count:
            print(f"error: no image has the name and tag of {reference!r} in {', '.join(FILES)}", file=sys.stderr)
            return 2
        texts = {name: text for name, (text, _) in pinned.items()}
        print(f"{reference}: {count} places")
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
