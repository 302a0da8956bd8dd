from __future__ import annotations

import copy
import math

import pytest
import torch
from crd_made import INDEX, LABELS, SAMPLES, features, learned, made
from largest_tensor import largest_tensor
from torch import Tensor, nn

from stillroom import Distiller, Term
from stillroom.errors import StillroomError
from stillroom.losses import CRD, noise_contrastive

# Negatives


def test_every_sample_of_another_class_is_drawn_as_often() -> None:
    loss = made(10, negatives=40_000)
    loss.classes.copy_(torch.tensor([0, 1, 2, 0, 1, -1, 0, 5, -1, 1]))
    for label, others in ((0, [1, 2, 4, 5, 7, 8, 9]), (1, [0, 2, 3, 5, 6, 7, 8]), (5, [0, 1, 2, 3, 4, 5, 6, 8, 9])):
        counts = loss.draw(torch.tensor([label]))[0].bincount(minlength=10)
        expected = 40_000 / len(others)
        chi_square = float(((counts[others] - expected) ** 2 / expected).sum())
        assert counts.sum() == counts[others].sum(), "the own class was drawn"
        assert chi_square < 26.1  # 0.1 % of such draws with 8 degrees of freedom are above


def test_rows_draw_for_themselves() -> None:
    loss = made(1000, negatives=200)
    drawn = loss.draw(torch.tensor([0, 0]))
    assert drawn.shape == (2, 200)
    assert not torch.equal(drawn[0], drawn[1])


def test_a_class_that_nobody_has_yet_is_compared_with_all() -> None:
    loss = made(negatives=2000)
    loss.classes.copy_(torch.arange(SAMPLES) % 3)
    assert loss.draw(torch.tensor([7])).unique().tolist() == list(range(SAMPLES))


def test_sample_and_its_class_are_no_negatives_from_its_first_batch_on() -> None:
    seen: list[Tensor] = []

    class Watched(CRD):
        def draw(self, labels: Tensor) -> Tensor:
            seen.append(super().draw(labels))
            return seen[-1]

    loss = Watched(3, 2, SAMPLES, dim=4, negatives=500).double()
    index = torch.tensor([0, 3, 1])
    learned(loss, index)
    assert not (seen[0][:2].unsqueeze(2) == index[:2]).any()
    assert not (seen[0][2] == 1).any()
    assert loss.classes.tolist() == [0, 1, -1, 0, *[-1] * 8]


def test_set_of_one_class_stays_finite() -> None:
    loss, index = made(3, negatives=4), torch.arange(3)
    value = loss(*features(), index=index, labels=torch.zeros(3, dtype=torch.int64))
    value.backward()
    assert torch.isfinite(value)
    assert all(torch.isfinite(p.grad).all() for p in loss.parameters() if p.grad is not None)
    assert loss.draw(torch.zeros(2, dtype=torch.int64)).unique().numel() == 1


def test_labels_in_strides_are_taken() -> None:
    labels = torch.stack((LABELS, LABELS), dim=1)[:, 0]
    assert torch.isfinite(made()(*features(), index=INDEX, labels=labels))


# The value


def test_formula_of_one_direction() -> None:
    scores = [[0.5, 2.0, 0.1], [3.0, 0.01, 1.0]]
    noise = 2 / 50
    total = 0.0
    for hit, *misses in scores:
        total += math.log(hit / (hit + noise + 1e-7)) + sum(math.log(noise / (x + noise + 1e-7)) for x in misses)
    value = noise_contrastive(torch.tensor(scores, dtype=torch.float64).log(), samples=50)
    assert value.item() == pytest.approx(-total / 2, rel=1e-12)


def test_formula_is_finite_far_out_in_half_precision() -> None:
    log_x = torch.tensor([[-6e4, 6e4], [6e4, -6e4]], dtype=torch.float16, requires_grad=True)
    value = noise_contrastive(log_x, samples=100)
    value.backward()
    assert value.dtype is torch.float32
    assert value.item() == pytest.approx(6e4, rel=1e-2)
    assert torch.isfinite(log_x.grad).all()


@pytest.mark.parametrize("shape", [(2, 1), (0, 3), (3,), (2, 3, 4)])
def test_formula_without_pairs_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(StillroomError) as caught:
        noise_contrastive(torch.zeros(shape), samples=10)
    assert str(caught.value) == f"no pairs to tell apart; expected log_x (N, 1 + K), K >= 1, got {shape}."


def test_tiny_temperature_does_not_overflow() -> None:
    """exp(1 / tau) would."""
    value = made(tau=1e-4).float()(*(x.float() for x in features()), index=INDEX, labels=LABELS)
    assert torch.isfinite(value)


def test_maps_are_averaged_over_their_pixels() -> None:
    student, teacher = torch.randn(3, 3, 4, 5, dtype=torch.float64), torch.randn(3, 2, 2, 2, dtype=torch.float64)
    loss = made()
    twin = copy.deepcopy(loss)
    torch.manual_seed(1)
    of_maps = loss(student, teacher, index=INDEX, labels=LABELS)
    torch.manual_seed(1)
    of_means = twin(student.mean((2, 3)), teacher.mean((2, 3)), index=INDEX, labels=LABELS)
    torch.testing.assert_close(of_maps, of_means)


# Use


def test_both_embeddings_get_a_gradient_and_the_teacher_none() -> None:
    student, teacher = (x.requires_grad_() for x in features())
    loss = made()
    loss(student, teacher, index=INDEX, labels=LABELS).backward()
    assert all(p.grad is not None and p.grad.any() for p in loss.parameters())
    assert student.grad is not None
    assert teacher.grad is None


def test_value_falls_as_it_learns() -> None:
    torch.manual_seed(0)
    index = torch.arange(30)
    shared = torch.randn(3, 8)[index % 3] + 0.3 * torch.randn(30, 8)
    student = nn.Linear(8, 3)
    loss = CRD(3, 8, 30, dim=8, negatives=20)
    optimizer = torch.optim.SGD([*student.parameters(), *loss.parameters()], lr=0.05)
    values: list[float] = []
    for _ in range(40):
        optimizer.zero_grad()
        value = loss(student(shared), shared, index=index, labels=index % 3)
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert sum(values[-5:]) < 0.7 * sum(values[:5])


def test_rows_are_not_gathered_for_every_pair() -> None:
    rows, negatives, dim = 4, 500, 64
    loss = CRD(3, 2, 100, dim=dim, negatives=negatives)
    index = torch.arange(rows)
    student, teacher = (x.float() for x in features(rows))
    largest = largest_tensor(lambda s, t: loss(s, t, index=index, labels=index % 3), student, teacher)
    assert largest <= max(rows * (negatives + 1), 100 * dim) < rows * (negatives + 1) * dim


def test_no_value_is_looked_at_on_a_device() -> None:
    """On the meta device there are no numbers: whoever asked for one would fail here, and wait on a GPU."""
    loss = made().to("meta")
    value = loss(*(x.to("meta") for x in features()), index=INDEX.to("meta"), labels=LABELS.to("meta"))
    value.backward()
    assert value.shape == ()


class Net(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body, self.pool, self.head = nn.Conv2d(1, width, 3), nn.AdaptiveAvgPool2d(1), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.body(x).relu()).flatten(1))


def distilling() -> Distiller:
    torch.manual_seed(0)
    term = Term(CRD(3, 5, SAMPLES, dim=4, negatives=6), student="pool", teacher="pool", weight=0.8)
    return Distiller(Net(3), Net(5), terms={"crd": term})


def test_learns_in_a_distiller_and_stays_there() -> None:
    distiller, images = distilling(), torch.rand(3, 1, 6, 6)
    before = copy.deepcopy(distiller.state_dict())
    distiller.prepare(images, index=INDEX, labels=LABELS)
    assert all(torch.equal(value, before[name]) for name, value in distiller.state_dict().items())
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.1)
    out = distiller(images, index=INDEX, labels=LABELS)
    out.loss.backward()
    optimizer.step()
    moved = {name for name, value in distiller.state_dict().items() if not torch.equal(value, before[name])}
    of_loss = {f"losses.crd.{name}" for name in distiller.losses["crd"].state_dict()}
    assert of_loss <= moved
    assert not any("crd" in name or "bank" in name for name in distiller.student.state_dict())
    assert {"student.body.weight", "student.body.bias"} <= moved


def test_missing_index_is_asked_for() -> None:
    with pytest.raises(StillroomError, match=r"^terms\.crd: CRD needs the argument 'index'\. Pass it: distiller\("):
        distilling()(torch.rand(3, 1, 6, 6), labels=LABELS)


# Messages


@pytest.mark.parametrize(
    ("index", "got"),
    [
        (INDEX[:2], r"torch\.int64 \(2,\)"),
        (INDEX.int(), r"torch\.int32 \(3,\)"),
        (INDEX[:, None], r"torch\.int64 \(3, 1\)"),
        ([7, 2, 9], "list"),
        (None, "NoneType"),
    ],
)
def test_anything_but_sample_ids_is_refused(index: object, got: str) -> None:
    with pytest.raises(
        StillroomError, match=rf"^index must be one sample id per sample; expected torch\.int64 \(3,\), got {got}\.$"
    ):
        made()(*features(), index=index, labels=LABELS)


@pytest.mark.parametrize("wrong", [-1, SAMPLES, 10**9])
def test_id_out_of_range_is_refused_before_anything_is_written(wrong: int) -> None:
    loss = made()
    before = copy.deepcopy(loss.state_dict())
    with pytest.raises(StillroomError, match=rf"^no sample has this index; expected 0 to 11, got {wrong}\.$"):
        loss(*features(), index=torch.tensor([3, wrong, 4]), labels=LABELS)
    assert all(torch.equal(value, before[name]) for name, value in loss.state_dict().items())


def test_anything_but_class_numbers_is_refused() -> None:
    with pytest.raises(
        StillroomError,
        match=r"^labels must be one class number per sample; expected torch\.int64 \(3,\), got torch\.float64 \(3, 3\)",
    ):
        made()(*features(), index=INDEX, labels=features()[0])


def test_other_widths_are_refused() -> None:
    with pytest.raises(
        StillroomError,
        match=r"^the loss is for other channels; expected student C = 3 and teacher C = 2, "
        r"got student \(3, 2\) and teacher \(3, 3\)\.$",
    ):
        made()(*reversed(features()), index=INDEX, labels=LABELS)


@pytest.mark.parametrize(
    ("name", "bad", "message"),
    [
        ("student_dim", 0, r"features without channels; expected student_dim >= 1 and finite, got 0\."),
        ("teacher_dim", 0, r"features without channels; expected teacher_dim >= 1 and finite, got 0\."),
        ("samples", 1, r"too few samples to compare one with another; expected samples >= 2 and finite, got 1\."),
        ("dim", 0, r"an embedding without numbers; expected dim >= 1 and finite, got 0\."),
        ("negatives", 0, r"nothing to compare a sample with; expected negatives >= 1 and finite, got 0\."),
        ("momentum", 1.0, r"no such momentum; expected 0 <= momentum < 1, got 1\.0\."),
        ("momentum", -0.1, r"no such momentum; expected 0 <= momentum < 1, got -0\.1\."),
        ("momentum", math.nan, r"no such momentum; expected 0 <= momentum < 1, got nan\."),
    ],
)
def test_argument_out_of_range_is_refused(name: str, bad: float, message: str) -> None:
    with pytest.raises(StillroomError, match=f"^{message}$"):
        CRD(**{"student_dim": 3, "teacher_dim": 2, "samples": 5, name: bad})
