"""Files with a sum: what is refused, what is cached, what is left after a failure. Nothing leaves this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from stillroom.errors import StillroomError
from stillroom.models import fetch, load_weights
from stillroom.models.download import download, sha256_of

CONTENT = b"weights"
SUM = hashlib.sha256(CONTENT).hexdigest()
# Port 1 of this machine: nobody listens, so a download fails at once.
NOWHERE = "https://127.0.0.1:1/some%20folder/teacher.pth"


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Path]:
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path / "hub"))
    yield tmp_path / "hub" / "checkpoints"
    torch.hub.set_dir(before)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a.pth",
        "https://example.org/a.pth#sha256=abc",
        f"https://example.org/a.pth#md5={SUM}",
        f"http://example.org/a.pth#sha256={SUM}",
        f"file:///a.pth#sha256={SUM}",
        f"https://example.org/a.pth?sha256={SUM}",
    ],
)
def test_an_address_without_https_and_sum_is_refused(url: str) -> None:
    with pytest.raises(StillroomError, match=r"needs https and its sum; expected https.* got ") as caught:
        fetch(url)
    assert caught.value.got == url
    with pytest.raises(StillroomError, match="needs https and its sum"):
        load_weights(nn.Linear(1, 1), url)


def test_a_cached_file_with_the_right_sum_needs_no_network(cache: Path) -> None:
    cache.mkdir(parents=True)
    cached = cache / f"{SUM[:16]}-teacher.pth"
    cached.write_bytes(CONTENT)
    assert fetch(f"{NOWHERE}#sha256={SUM.upper()}") == cached


def test_a_cached_file_with_another_sum_is_not_used(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / f"{SUM[:16]}-teacher.pth").write_bytes(b"damaged")
    with pytest.raises(StillroomError, match=r"teacher\.pth: the file cannot be had; got .*refused"):
        fetch(f"{NOWHERE}#sha256={SUM}")


def test_a_download_is_checked_and_leaves_nothing_when_the_sum_differs(tmp_path: Path) -> None:
    (tmp_path / "source.pth").write_bytes(CONTENT)
    url, target = (tmp_path / "source.pth").as_uri(), tmp_path / "new" / "copy.pth"
    with pytest.raises(
        StillroomError, match=f'cannot be had; got invalid hash value .expected "{"0" * 64}", got "{SUM}"'
    ):
        download(url, target, sha256="0" * 64)
    assert list(target.parent.iterdir()) == []
    download(url, target, sha256=SUM)
    assert target.read_bytes() == CONTENT
    assert sha256_of(target) == SUM
