"""Layer by layer."""

from __future__ import annotations

import pytest
import torch
from diagnosis_nets import Pyramid, Transformer, Vectors, images

from stillroom.diagnosis import cka, similarity
from stillroom.errors import StillroomError
from stillroom.recorders import record


def test_one_batch_is_the_cka_of_every_two_layers() -> None:
    a, b = Pyramid().eval(), Pyramid(3).eval()
    found = similarity(a, b, [images(8)])
    assert (found.rows, found.columns, found.samples) == (("one", "two", "three"), ("one", "two", "three"), 8)
    with record(a, one="one", three="three") as left, record(b, two="two") as right, torch.no_grad():
        a(images(8))
        b(images(8))
    torch.testing.assert_close(found.matrix[0, 1], cka(left["one"], right["two"]))
    torch.testing.assert_close(found.matrix[2, 1], cka(left["three"], right["two"]))


def test_the_parts_of_several_batches_are_averaged_and_not_the_quotients() -> None:
    a, b = Pyramid().eval(), Pyramid(3).eval()
    batches = [images(count, seed=count) for count in (5, 6, 7)]
    found = similarity(a, b, batches, sites=(["two"], ["three"]))
    assert (found.rows, found.columns, found.samples) == (("two",), ("three",), 18)
    one, three = [], []
    with torch.no_grad():
        for batch in batches:
            with record(a, x="two") as left, record(b, y="three") as right:
                a(batch)
                b(batch)
            one.append(left["x"])
            three.append(right["y"])

    def hsic(left: list[torch.Tensor], right: list[torch.Tensor]) -> float:
        """The mean of the unbiased estimates, by Song et al.'s formula."""
        total = 0.0
        for x, y in zip(left, right, strict=True):
            n = len(x)
            k, m = ((z @ z.T).fill_diagonal_(0) for z in (x.flatten(1).double(), y.flatten(1).double()))
            ones = torch.ones(n, dtype=torch.float64)
            total += (
                (k @ m).trace()
                + (ones @ k @ ones) * (ones @ m @ ones) / ((n - 1) * (n - 2))
                - 2 / (n - 2) * ones @ k @ m @ ones
            ).item() / (n * (n - 3))
        return total / len(left)

    expected = hsic(one, three) / (hsic(one, one) * hsic(three, three)) ** 0.5
    assert found.matrix.item() == pytest.approx(expected, rel=1e-9)
    quotients = [cka(x, y).item() for x, y in zip(one, three, strict=True)]
    assert abs(found.matrix.item() - sum(quotients) / 3) > 1e-3


def test_a_model_against_itself() -> None:
    model = Transformer(depth=5)
    found = similarity(model, model, [images(6)])
    assert found.rows == found.columns == tuple(f"layers.{index}[0]" for index in range(5))
    torch.testing.assert_close(found.matrix.diagonal(), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(found.matrix, found.matrix.T)
    assert model.training


@pytest.mark.parametrize(
    ("batches", "sites", "message"),
    [
        ([], None, r"^batches: there is nothing to compare the models on; got no batch\.$"),
        (
            [images(8), images(3)],
            None,
            r"^batches: debiased CKA needs the same samples at every site, and at least 4 in a batch; got one "
            r"\(3, 4, 8, 8\), .* Leave a small last batch out \(drop_last=True\)\.$",
        ),
        ([images(8)], (["four"], ["one"]), r"^four: Pyramid has no module 'four'\. "),
        ([images(8)], (["layers.0"], ["one"]), r"^layers\.0: Pyramid has no module"),
        ([torch.randn(4, 9, 16, 16)], (["one"], ["one"]), r"^model_a: Pyramid does not take this batch; "),
    ],
)
def test_refusals(batches: list, sites: tuple | None, message: str) -> None:
    with pytest.raises(StillroomError, match=message):
        similarity(Pyramid(), Pyramid(), batches, sites=sites)


def test_sites_without_a_tensor_and_models_without_stages() -> None:
    message = r"^model_a\.layers\.0: only tensors can be compared; expected \(N, \.\.\.\), got a tuple of 2\.$"
    with pytest.raises(StillroomError, match=message):
        similarity(Transformer(), Pyramid(), [images(4)], sites=(["layers.0"], ["one"]))
    with pytest.raises(StillroomError, match=r"^model_b: no stage of Vectors is recognised"):
        similarity(Pyramid(), Vectors(), [images(4)])
