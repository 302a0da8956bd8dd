"""Files from the network, each named with the sum of its bytes."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import torch

from stillroom.errors import StillroomError

__all__ = ["download", "fetch", "sha256_of"]


def fetch(url: str) -> Path:
    """Download a file once into the cache of ``torch.hub``; its sum is checked at every call.

    Args:
        url: ``https://...#sha256=<64 hexadecimal digits>``; an address without the sum is refused.

    Returns:
        The file in the cache.

    Raises:
        StillroomError: for another kind of address, a failed download, or a file with another sum.
    """
    parts = urlsplit(url)
    digest = re.fullmatch(r"sha256=([0-9a-fA-F]{64})", parts.fragment)
    if parts.scheme != "https" or digest is None:
        raise StillroomError(
            "a file from the network needs https and its sum",
            expected="https://...#sha256=<64 hexadecimal digits>",
            got=url,
            fix="sha256sum prints the sum of a file that you trust.",
        )
    sha256 = digest[1].lower()
    # Two files of one name, with two sums, are two entries of the cache.
    cached = Path(torch.hub.get_dir()) / "checkpoints" / f"{sha256[:16]}-{Path(unquote(parts.path)).name}"
    if not (cached.is_file() and sha256_of(cached) == sha256):
        download(parts._replace(fragment="").geturl(), cached, sha256=sha256)
    return cached


def download(url: str, target: Path, *, sha256: str) -> None:
    """Download into ``target``, whole or not at all.

    Raises:
        StillroomError: where the download fails, or the file has another sum than ``sha256``.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(target), hash_prefix=sha256, progress=False)
    except (OSError, RuntimeError) as error:
        fix = "Check the network, the address and the sum."
        raise StillroomError("the file cannot be had", where=url, got=error, fix=fix) from error


def sha256_of(path: Path) -> str:
    """The sum of a file's bytes, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
