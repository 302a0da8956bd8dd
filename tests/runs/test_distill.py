"""Door 2: one call on objects."""

import functools
import json
import signal

import pytest
import torch
import yaml
from safetensors.torch import load_file
from tiny_runs import QUIET, Stripes, network, refused, rows, same_bits, trained_network, weights
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import stillroom as kd
from stillroom.models import SmallCNN
from stillroom.runs import InterruptedRun


@pytest.fixture(scope="module")
def teacher():
    return trained_network()


@pytest.fixture(scope="module")
def done(teacher, tmp_path_factory):
    """A finished run, with the student that was trained."""
    student = network()
    run = distilled(tmp_path_factory.mktemp("d"), teacher, student, epochs=2)
    return run, student


def distilled(tmp_path, teacher, student=None, **options):
    student = network() if student is None else student
    options = {"epochs": 1, "batch_size": 8, "out": tmp_path / "out", "trainer": QUIET} | options
    return kd.distill(student, teacher, Stripes(), Stripes(48, seed=1), **options)


def test_the_model_is_the_users_own_and_plain(done):
    run, student = done
    assert run.model is student
    assert not student.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in student.modules())
    assert all(parameter.requires_grad for parameter in student.parameters())
    assert set(student.state_dict()) == set(SmallCNN(num_classes=3, width=4).state_dict())


def test_it_has_learnt(done):
    run, student = done
    data = Stripes(48, seed=2)
    assert (student(data.images).argmax(1) == torch.tensor(data.targets)).float().mean() > 0.5
    assert run.results.validation.last.accuracy > 0.5
    assert run.results.teacher["teacher"].validation.accuracy == 1
    assert run.results.test is None


def test_the_file_is_a_plain_models(done):
    run, student = done
    tensors = load_file(run.folder / "model.safetensors")
    plain = SmallCNN(num_classes=3, width=4)
    plain.load_state_dict(tensors, strict=True)
    assert same_bits(plain, student)


def test_without_terms_it_is_plain_distillation(done):
    run, _ = done
    assert yaml.safe_load((run.folder / "config.yaml").read_text())["terms"].keys() == {"kl"}
    assert [float(row["kl"]) > 0 for row in rows(run.folder) if row["phase"] == "train"] == [True, True]


def test_its_report(done):
    run, _ = done
    assert run.report() == run.folder / "report.html"
    assert "student distilled" in run.report().read_text()


def test_the_same_seed_twice_gives_the_same_bits(done, teacher, tmp_path):
    run, _ = done
    again = distilled(tmp_path, teacher, epochs=2)
    assert weights(again.folder) == weights(run.folder)
    assert rows(again.folder) == rows(run.folder)


def test_the_seed_sets_the_order(done, teacher, tmp_path):
    run, _ = done
    assert weights(distilled(tmp_path, teacher, epochs=2, seed=1).folder) != weights(run.folder)


def test_an_inferred_connector_comes_from_the_seed(teacher, tmp_path):
    terms = {"hint": kd.Term(kd.losses.L2(), student="layer2", teacher="layer2", connector="auto")}
    runs = []
    for drawn in (1, 2):
        student = network()
        torch.manual_seed(drawn)  # whatever was drawn before
        runs.append(distilled(tmp_path, teacher, student, terms=terms, out=tmp_path / str(drawn)))
    assert weights(runs[0].folder) == weights(runs[1].folder)


def test_the_teacher_stays_as_it_was(teacher, tmp_path):
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    distilled(tmp_path, teacher)
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())
    assert not teacher.training


def test_without_labels(teacher, tmp_path):
    run = kd.distill(
        network(),
        teacher,
        Stripes(labelled=False),
        Stripes(48, labelled=False),
        epochs=1,
        task_weight=0,
        out=tmp_path / "out",
        trainer=QUIET,
    )
    assert run.results.validation is None
    assert [row["phase"] for row in rows(run.folder)] == ["train"]
    assert rows(run.folder)[0]["loss"] == rows(run.folder)[0]["kl_weighted"]


def test_without_labels_there_is_no_task(teacher, tmp_path):
    sets = Stripes(labelled=False)
    message = "task: the task loss needs labels, and the data has none. Set task_weight to 0."
    refused(tmp_path, message, lambda: kd.distill(network(), teacher, sets, sets, epochs=1, out=tmp_path / "out"))


def test_labels_without_classes(teacher, tmp_path):
    """A data set that says nothing of its classes: plain pairs."""
    pairs = [(image, label) for image, label in Stripes(24)]
    run = kd.distill(network(), teacher, pairs, pairs, epochs=1, out=tmp_path / "out", trainer=QUIET)
    assert run.results.validation.last.accuracy >= 0
    assert json.loads((run.folder / "model.json").read_text())["extra"]["class_names"] is None


def test_a_test_set(teacher, tmp_path):
    run = distilled(tmp_path, teacher, test=Stripes(30, seed=5))
    data = Stripes(30, seed=5)
    right = (run.model(data.images).argmax(1) == torch.tensor(data.targets)).float().mean()
    assert run.results.test.last.accuracy == pytest.approx(right.item())


def test_an_optimizer_of_ones_own(teacher, tmp_path):
    adam = functools.partial(torch.optim.AdamW, lr=0.003, betas=(0.8, 0.9))
    run = distilled(tmp_path, teacher, optimizer=adam)
    state = torch.load(run.folder / "checkpoints" / "last.ckpt", weights_only=True)["optimizer_states"][0]
    assert state["param_groups"][0]["betas"] == (0.8, 0.9)


def test_a_task_of_ones_own(teacher, tmp_path):
    run = distilled(tmp_path, teacher, task=nn.CrossEntropyLoss(label_smoothing=0.2), task_weight=0.5)
    row = next(row for row in rows(run.folder) if row["phase"] == "train")
    assert float(row["task_weighted"]) == pytest.approx(0.5 * float(row["task"]))


def test_two_calls_in_one_process_choose_two_folders(teacher, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = (distilled(tmp_path, teacher, out=None).folder for _ in range(2))
    assert first != second
    assert first.parent.name == "runs"


def test_resume_goes_on(teacher, done, tmp_path):
    run, _ = done
    distilled(tmp_path, teacher, epochs=1)
    (tmp_path / "out" / "results.json").unlink()
    again = distilled(tmp_path, teacher, network(seed=9), epochs=2, resume=True)
    assert weights(again.folder) == weights(run.folder)
    assert rows(again.folder) == rows(run.folder)


def test_resume_of_what_has_ended_gives_it_back(teacher, tmp_path):
    first = distilled(tmp_path, teacher)
    again = distilled(tmp_path, teacher, network(seed=9), resume=True)
    assert same_bits(first.model, again.model)
    assert again.results.steps == first.results.steps


def test_resume_of_nothing_begins(teacher, done, tmp_path):
    run, _ = done
    assert weights(distilled(tmp_path, teacher, epochs=2, resume=True).folder) == weights(run.folder)


def test_resume_needs_a_folder(teacher, tmp_path):
    refused(tmp_path, "out: resume=True needs the folder", lambda: distilled(tmp_path, teacher, out=None, resume=True))


class Shares(nn.Module):
    """Returns probabilities, as a model with a softmax at its end does."""

    def __init__(self):
        super().__init__()
        self.net = network()

    def forward(self, images):
        return self.net(images).softmax(1)


class Sometimes(nn.Module):
    """Has a layer that never runs."""

    def __init__(self):
        super().__init__()
        self.net, self.idle = network(), nn.Linear(2, 2)

    def forward(self, images):
        return self.net(images)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"student": network(classes=5)},
            "student: the model's classes are not the data's; expected logits (N, 3) for Sets,",
        ),
        (
            {"student": Shares()},
            "terms.kl: the student's value at 'student/' looks like probabilities; expected logits, bef",
        ),
        (
            {"student": nn.Linear(3, 3)},
            "student: Linear does not take the data's inputs; expected a model of (8, 1, 8, 8),",
        ),
        (
            {"terms": {"a": kd.Term(kd.losses.L2(), student="layer7")}},
            "terms.a.student: SmallCNN has no module 'layer7'. Did",
        ),
        (
            {"student": Sometimes(), "terms": {"a": kd.Term(kd.losses.L2(), student="idle", teacher="fc")}},
            "terms.a.student: ",
        ),
        (
            {"terms": {"a": kd.Term(kd.losses.L2(), student="layer2", teacher="layer2")}},
            "terms.a: student and teacher differ in shape; expected equal shapes, got student (8, 8, 2, 2) and teac",
        ),
        ({"task": "cross_entrpy"}, "task: there is no task 'cross_entrpy'. Did you mean 'cross_entropy'?"),
        ({"task": nn.functional.cross_entropy}, "task: this is no task; expected its name, or a loss module called as"),
        ({"epochs": 0}, "epochs: this is out of range; expected 1 or more, got 0."),
        ({"epochs": "many"}, "epochs: TrainerSettings refused this value; expected int, got 'many'."),
        ({"seed": "a"}, "seed: this must be a whole number from 0 to 4611686018427387903; got 'a'."),
        ({"student": SmallCNN}, f"student: this is no model; expected an nn.Module, got {SmallCNN!r}."),
        (
            {"optimizer": torch.optim.SGD([torch.zeros(1)], lr=0.1)},
            "optimizer: this makes no optimizer; expected a callable of parameters, got SGD object. "
            "Pass lambda p: SGD(p, lr=...).",
        ),
        (
            {"trainer": {"max_epoch": 3}},
            "trainer: TrainerSettings has no argument 'max_epoch'. Did you mean 'max_epochs'?",
        ),
        (
            {"trainer": {"devices": 0}},
            "trainer: `Trainer(devices=0)` value is not a valid input using cpu accelerator; got trainer.",
        ),
        (
            {"batch_size": 0},
            "a loader's number is out of range; expected batch_size >= 1, num_workers >= 0, got batch_size=",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(teacher, tmp_path, options, message):
    refused(tmp_path, message, lambda: distilled(tmp_path, teacher, **options))


def test_a_teacher_of_other_classes(tmp_path):
    message = "teacher: the model's classes are not the data's; expected logits (N, 3) for Sets, got (2, 5)."
    refused(tmp_path, message, lambda: distilled(tmp_path, network(8, classes=5)))


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (
            {"val": None},
            "val: samples are read by their index; expected a data set with __len__ and __getitem__, got NoneType.",
        ),
        (
            {"train": DataLoader(Stripes())},
            "train: samples are read by their index; expected a data set with __len__ and __getitem__, got DataLoader. "
            "Pass loader.dataset.",
        ),
        ({"test": iter(())}, "test: samples are read by their index; expected a data set with __len__ and __getitem__"),
    ],
)
def test_what_is_no_data_set(teacher, tmp_path, sets, message):
    given = {"train": Stripes(), "val": Stripes(48)} | sets
    refused(tmp_path, message, lambda: kd.distill(network(), teacher, **given, epochs=1, out=tmp_path / "out"))


def test_a_folder_that_exists(done, tmp_path):
    folder = done[0].folder
    message = f"{folder}: this folder exists already. Go on in it with resume=True, or choose another out."
    refused(folder, message, lambda: distilled(tmp_path, None, out=folder))


def test_a_teacher_that_is_none(tmp_path):
    message = "teacher: this is no model; expected an nn.Module, got 'runs/teacher'."
    refused(tmp_path, message, lambda: distilled(tmp_path, "runs/teacher"))


def test_a_teacher_no_better_than_chance(tmp_path):
    teacher = network(8)
    nn.init.zeros_(teacher.fc.weight)
    message = "teacher: the teacher is no better than chance on the validation set; expected an accuracy above 33.3 %"
    with pytest.raises(kd.StillroomError) as told:
        distilled(tmp_path, teacher)
    assert str(told.value).endswith(
        "got 33.3 % of 48 samples. Check its weights and the data's normalisation; check=False goes on all the same."
    )
    refused(tmp_path, message, lambda: distilled(tmp_path, teacher))
    # The next thing that is wrong.
    refused(tmp_path, "student: this is no model", lambda: distilled(tmp_path, teacher, 3, check=False))


def test_the_student_is_not_the_teacher(teacher, tmp_path):
    message = "teacher: student and teacher share what one trains and the other must freeze"
    refused(tmp_path, message, lambda: distilled(tmp_path, teacher, teacher))


def test_after_a_failure_no_hook_is_left(teacher, tmp_path):
    student = network()
    terms = {"a": kd.Term(kd.losses.L2(), student="layer2", teacher="layer2")}
    with pytest.raises(kd.StillroomError):
        distilled(tmp_path, teacher, student, terms=terms)
    assert not any(module._forward_hooks for model in (student, teacher) for module in model.modules())


def test_labels_beyond_the_models_classes(teacher, tmp_path):
    images = Stripes(12).images
    train = [(image, 0) for image in images]
    val = [(image, 7) for image in images]
    message = "the model has fewer classes than the data; expected labels below 3, got label 7."
    refused(tmp_path, message, lambda: kd.distill(network(), teacher, train, val, epochs=1, out=tmp_path / "out"))


def test_tensors_are_a_data_set_too(teacher, tmp_path):
    data = Stripes(24)
    sets = TensorDataset(data.images, torch.tensor(data.targets))
    run = kd.distill(network(), teacher, sets, sets, epochs=1, out=tmp_path / "out", trainer=QUIET)
    assert run.results.steps == 1


class Interrupting(Stripes):
    """Somebody presses Ctrl-C while the 120th sample is read: in the second epoch."""

    reads = 0

    def __getitem__(self, index):
        self.reads += 1
        if self.reads == 120:
            raise KeyboardInterrupt
        return super().__getitem__(index)


def test_ctrl_c_tells_how_to_go_on(done, teacher, tmp_path):
    run, _ = done
    handler = signal.getsignal(signal.SIGINT)
    options = {"epochs": 2, "batch_size": 8, "out": tmp_path / "out", "trainer": QUIET}
    with pytest.raises(InterruptedRun) as stopped:
        kd.distill(network(), teacher, Interrupting(), Stripes(48, seed=1), **options)
    assert str(stopped.value) == f"interrupted; the same call with out='{tmp_path}/out' and resume=True goes on"
    assert signal.getsignal(signal.SIGINT) is handler
    assert distilled(tmp_path, teacher, network(seed=9), epochs=2, resume=True).results.steps == 24
    assert weights(tmp_path / "out") == weights(run.folder)
