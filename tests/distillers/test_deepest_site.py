"""A teacher is not run beyond the deepest of the sites that are wanted of it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from stillroom import Between, Distiller, Parameter, Site, StillroomError, Term
from stillroom.losses import L2, KLDivergence


class Counted(nn.Module):
    """Three layers in a row, one of them twice; counts its passes and how far they went."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice, self.last = (nn.Linear(4, 4) for _ in range(3))
        self.passes, self.ends = 0, 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        try:
            x = self.twice(self.twice(self.first(x).relu_()))
        except Exception as error:  # a model's own handler, which must not catch what is none of its failures
            raise AssertionError from error
        x = self.last(x)
        self.ends += 1
        return x


def made(**terms: Term) -> tuple[Distiller, Counted]:
    torch.manual_seed(0)
    student, teacher = Counted(), Counted()
    distiller = Distiller(student, teacher, terms=terms)
    distiller.prepare(inputs())
    teacher.passes = teacher.ends = 0
    return distiller, teacher


def inputs(step: int = 0) -> Tensor:
    return torch.randn(5, 4, generator=torch.Generator().manual_seed(step))


def hint(site: str, **more: object) -> Term:
    return Term(L2(), student=site, teacher=site, **more)


@pytest.mark.parametrize("sites", [["first"], ["twice@0"], ["twice@1"], ["twice@1", "first"], ["first", "last:input"]])
def test_after_one_whole_pass_it_stops_at_the_deepest_site_and_teaches_the_same(sites: list[str]) -> None:
    distiller, teacher = made(**{f"t{place}": hint(site) for place, site in enumerate(sites)})
    whole, _ = made(**{f"t{place}": hint(site) for place, site in enumerate(sites)}, all=Term(KLDivergence()))
    for step in range(4):
        found, expected = distiller(inputs(step)), whole(inputs(step))
        for name, loss in found.losses.items():
            torch.testing.assert_close(loss, expected.losses[name])
    assert (teacher.passes, teacher.ends) == (4, 1)
    assert distiller.student.ends == distiller.student.passes


@pytest.mark.parametrize(
    "terms",
    [
        {"kl": Term(KLDivergence()), "t": hint("first")},
        {"t": hint("twice@-1")},
        {"t": hint("first"), "u": hint("")},
    ],
)
def test_what_is_known_at_the_end_only_takes_the_whole(terms: dict[str, Term]) -> None:
    distiller, teacher = made(**terms)
    for step in range(3):
        distiller(inputs(step))
    assert (teacher.passes, teacher.ends) == (3, 3)


def test_a_parameter_beside_it_is_there_without_a_pass() -> None:
    extra = {"teacher": Site(Parameter("last.weight"), "teacher")}
    distiller, teacher = made(t=hint("first"), w=Term(L2(), student=Parameter("last.weight"), extra=extra))
    values = [distiller(inputs(step)).losses["w"] for step in range(3)]
    assert (teacher.passes, teacher.ends) == (3, 1)
    torch.testing.assert_close(values[0], (distiller.student.last.weight - teacher.last.weight).square().mean())
    assert values[0] == values[2]


def test_when_a_deeper_term_begins_it_runs_further() -> None:
    distiller, teacher = made(t=hint("first"), u=hint("last", weight=Between(1.0, start=2)))
    for epoch in range(4):
        distiller.at(epoch=epoch)
        for step in range(3):
            assert len(distiller(inputs(step)).losses) == (1 if epoch < 2 else 2)
    assert teacher.passes == 12
    assert teacher.ends == 2  # the first pass of each set of terms
    assert distiller(inputs()).losses["u"] > 0


def test_a_failure_before_it_is_a_failure_and_the_next_pass_is_as_before() -> None:
    distiller, teacher = made(t=hint("last:input"))
    distiller(inputs())
    with pytest.raises(AssertionError):
        distiller(torch.randn(5, 3))
    expected = distiller(inputs()).loss
    teacher.ends = 0
    assert distiller(inputs()).loss == expected
    assert teacher.ends == 0


def test_a_site_that_runs_twice_is_found_in_the_whole_pass() -> None:
    distiller = Distiller(Counted(), Counted(), terms={"t": hint("twice")})
    with pytest.raises(StillroomError, match="module 'twice' was called 2 times"):
        distiller(inputs())


def test_compiled_it_gives_the_same() -> None:
    distiller, teacher = made(t=hint("first"))
    expected = distiller(inputs()).loss
    torch._dynamo.reset()
    compiled = torch.compile(distiller, backend="eager", fullgraph=False)
    torch.testing.assert_close(compiled(inputs()).loss, expected)
    assert teacher.passes >= 2
    torch._dynamo.reset()
