"""Recipes: what is read, what is refused, and what reaches the teacher."""

import re

import pytest
import yaml
from tiny_runs import tiny

from stillroom.errors import StillroomError
from stillroom.recipes import find_recipe
from stillroom.runs.recipe import checked, read_recipe

MINIMAL = {
    "student": {"class_path": "SmallCNN", "init_args": {"width": 2}},
    "data": "Digits",
    "optimizer": {"class_path": "SGD", "init_args": {"lr": 0.1}},
    "trainer": {"max_epochs": 1},
}


def refusal(*words):
    with pytest.raises(StillroomError) as caught:
        read_recipe("digits", words)
    return str(caught.value)


def test_the_least_that_a_recipe_says():
    recipe = checked(MINIMAL, name="least")
    assert (recipe.name, recipe.seed, recipe.task, recipe.task_weight) == ("least", 0, "cross_entropy", 1.0)
    assert recipe.terms == {}
    assert recipe.teacher is None
    assert recipe.scheduler is None


@pytest.mark.parametrize("key", MINIMAL)
def test_a_missing_key(key):
    with pytest.raises(StillroomError, match=f"^{key}: this key is missing"):
        checked({k: v for k, v in MINIMAL.items() if k != key}, name="least")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("traner.max_epochs=3", "recipe: unknown key 'traner'. Did you mean 'trainer' or"),
        ("trainer.max_epoch=3", "trainer: TrainerSettings has no argument 'max_epoch'. Did you mean 'max_epochs'?"),
        ("student.widht=3", "student: SmallCNN has no argument 'widht'. Did you mean 'width'?"),
        ("teacher.modle.width=3", "teacher: unknown key 'modle'. Did you mean 'model'?"),
        ("teacher.model.widht=3", "teacher.model: SmallCNN has no argument 'widht'. Did you mean 'width'?"),
        ("teacher.data.batchsize=3", "teacher.data: Digits has no argument 'batchsize'. Did you mean 'batch_size'?"),
        ("teacher.trainer.max_epoch=3", "teacher.trainer: TrainerSettings has no argument 'max_epoch'."),
        ("data.batchsize=3", "data: Digits has no argument 'batchsize'. Did you mean 'batch_size'?"),
        ("terms.kl.wieght=3", "terms.kl: unknown key 'wieght'. Did you mean 'weight'?"),
        ("terms.kl.loss.tua=3", "terms.kl.loss: KLDivergence has no argument 'tua'. Did you mean 'tau'?"),
        (
            "terms.kll.weight=3",
            "terms.kll: a term is a mapping with at least a loss; got {'weight': 3}. Did you mean 'kl",
        ),
        ("optimizer.lrr=3", "optimizer: SGD has no argument 'lrr'. Did you mean 'lr'?"),
        ("scheduler.t_max=3", "scheduler: CosineAnnealingLR has no argument 't_max'. Did you mean 'T_max'"),
        ("task=cross_entrpy", "task: there is no task 'cross_entrpy'. Did you mean 'cross_entropy'?"),
        ("task=CrossEntropyLos", "task: there is no 'CrossEntropyLos' in torch.nn. Did you mean 'CrossEntropyLoss' or"),
        ("terms.kl.loss.class_path=KLDivergnce", "terms.kl.loss: there is no 'KLDivergnce' in stillroom.losses. Did"),
        ("optimizer.class_path=SDG", "optimizer: there is no 'SDG' in torch.optim. Did you mean 'SGD' or 'ASGD'?"),
    ],
)
def test_a_misspelt_key_or_name(word, message):
    assert refusal(word).startswith(message)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("terms.kl.loss.tau=-1", "terms.kl.loss: tau is no temperature; expected tau > 0 and finite, got -1.0."),
        ("terms.kl.weight=abc", "terms.kl.weight: there is no 'abc' in stillroom.distillers."),
        ("terms.kl.weight=[1]", "terms.kl.weight: this must be a number; got [1]."),
        ("terms.kl.weight=true", "terms.kl.weight: this must be a number; got True."),
        ("terms.kl.weight=.nan", "terms.kl.weight: a weight must be a finite number; got nan."),
        ("terms.kl.weight={class_path: WarmUp, init_args: {weight: 1.0, duration: 0}}", "terms.kl.weight: duration is"),
        ("terms.kl.student=5", "terms.kl.student: this is no site; expected"),
        ("terms.kl.extra=5", "terms.kl.extra: this must be a mapping; got 5."),
        ("terms.kl.extra={label: student/fc}", "terms.kl.extra.label: KLDivergence has no argument 'label'"),
        ("terms.kl.connector=5", "terms.kl.connector: this must be a mapping; got 5."),
        ("terms.kl.connector=Conv1x", "terms.kl.connector: there is no 'Conv1x' in stillroom.connectors. Did you mean"),
        ("terms.kl.teacher_connector=auto", 'terms.kl.teacher_connector: "auto" adapts the student to the teacher.'),
        ("terms.kl.loss=5", "terms.kl.loss: this must be a mapping; got 5."),
        ("terms.kl=5", "terms.kl: a term is a mapping with at least a loss; got 5."),
        ("terms=5", "terms: this must be a mapping; got 5."),
        ("student=5", "student: this must be a mapping; got 5."),
        ("trainer=5", "trainer: this must be a mapping; got 5."),
        ("trainer.max_epochs=ten", "trainer.max_epochs: TrainerSettings refused this value; expected int, got 'ten'."),
        ("trainer.max_epochs=0", "trainer.max_epochs: this is out of range; expected 1 or more, got 0."),
        ("trainer.max_epochs=-1", "trainer.max_epochs: this is out of range; expected 1 or more, got -1."),
        ("trainer.log_every=0", "trainer.log_every: this is out of range; expected 1 or more, got 0."),
        ("trainer.checkpoint_steps=0", "trainer.checkpoint_steps: this is out of range; expected 1 or more, got 0."),
        ("trainer.checkpoint_every=0", "trainer.checkpoint_every: this is out of range; expected 1 or more, got 0."),
        (
            "trainer.accumulate_grad_batches=0",
            "trainer.accumulate_grad_batches: this is out of range; expected 1 or mo",
        ),
        ("trainer.total_batch=0", "trainer.total_batch: this is out of range; expected 1 or more, got 0."),
        ("trainer.limit_train_batches=0", "trainer.limit_train_batches: this is out of range; expected more than 0, g"),
        (
            "trainer.gradient_clip_val=-1",
            "trainer.gradient_clip_val: this is out of range; expected more than 0, got -",
        ),
        ("seed=1.5", "seed: this must be a whole number from 0 to 4611686018427387903; got 1.5."),
        ("seed=-1", "seed: this must be a whole number from 0 to 4611686018427387903; got -1."),
        ("seed=4611686018427387904", "seed: this must be a whole number from 0 to 4611686018427387903; got 46116"),
        ("trainer.max_epochs=", "trainer.max_epochs: TrainerSettings needs a value here; got null."),
        ("optimizer.lr=abc", "optimizer.lr: SGD refused this value; expected float, got 'abc'."),
        ("seed=true", "seed: this must be a whole number from 0 to 4611686018427387903; got True."),
        ("task_weight=abc", "task_weight: there is no 'abc' in stillroom.distillers. There are: Between, "),
        ("scheduler_interval=day", "scheduler_interval: unknown interval; expected epoch or step, got 'day'."),
        ("scheduler=CosineAnnealingLR", "scheduler: CosineAnnealingLR needs the argument 'T_max'."),
        ("name=a/b", "name: this cannot be a recipe's name; expected no slashes, got 'a/b'."),
        ("teacher=5", "teacher: this is no teacher; expected null, a mapping, or a recipe, run folder, checkpoint or "),
        ("teacher.model=null", 'teacher.model: class_path is missing; expected "Name"'),
        ("teacher.model.width=abc", "teacher.model.width: SmallCNN refused this value; expected int, got 'abc'."),
        ("teacher.check=maybe", "teacher.check: this must be true or false; got 'maybe'."),
        (
            "teacher.weights=5",
            "teacher.weights: these are no weights; expected a file, https://...#sha256=..., or included, got 5.",
        ),
        ("teacher.seed=1.5", "teacher.seed: this must be a whole number from 0 to 4611686018427387903; got 1.5."),
    ],
)
def test_a_value_that_does_not_fit(word, message):
    assert refusal(word).startswith(message)


def test_nothing_to_learn_from():
    message = "task_weight: there is nothing to learn from: no terms, and no task loss; got 0."
    assert refusal("terms={}", "task_weight=0") == message


def test_a_file_that_is_no_recipe(tmp_path):
    path = tmp_path / "bad.yaml"
    for content, message in (
        (b"student: [", f"{path}: this is no YAML: while parsing"),
        (b"- 1", f"{path}: a recipe is a mapping; got list."),
        (b"", f"{path}: a recipe is a mapping; got NoneType."),
        (b"\xff\xfe", f"{path}: the file is not UTF-8 text (byte 0)"),
    ):
        path.write_bytes(content)
        with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
            read_recipe(path)
    with pytest.raises(StillroomError, match=r"-c: there is no such recipe file; got .*none\.yaml"):
        read_recipe(tmp_path / "none.yaml")
    with pytest.raises(StillroomError, match=r"-c: there is no recipe 'digit'. Did you mean 'digits' or "):
        read_recipe("digit")


def test_a_recipe_is_written_whole_and_read_again(tmp_path):
    recipe = read_recipe(
        "digits",
        [
            "terms.hint.loss=L2",
            "terms.hint.student=layer2",
            "terms.hint.teacher=layer2",
            "terms.hint.connector={class_path: Conv1x1, init_args: {in_channels: 8, out_channels: 64}}",
            "terms.hint.weight={class_path: WarmUp, init_args: {weight: 0.5, duration: 2}}",
            "task={class_path: CrossEntropyLoss, init_args: {label_smoothing: 0.1}}",
        ],
    )
    path = tmp_path / "again.yaml"
    path.write_text(yaml.safe_dump(recipe.plain()))
    again = read_recipe(path)
    assert again.plain() == recipe.plain()
    assert again.fingerprint() == recipe.fingerprint()
    hint = recipe.plain()["terms"]["hint"]
    assert hint["loss"]["class_path"] == "stillroom.losses.L2"
    assert hint["weight"]["init_args"] == {"weight": 0.5, "duration": 2, "unit": "epoch"}
    assert again.make_task().label_smoothing == 0.1
    assert again.make_terms()["hint"].weight(epoch=0, step=0) == 0.25


def test_a_weight_of_yaml_text():
    assert tiny("terms.kl.weight=1e-3").make_terms()["kl"].weight(epoch=0, step=0) == 0.001


def test_every_making_of_the_terms_is_a_new_one():
    recipe = tiny()
    assert recipe.make_terms()["kl"].loss is not recipe.make_terms()["kl"].loss


def teacher(*words):
    return read_recipe("digits", words).teacher_recipe()


@pytest.fixture(scope="module")
def shipped():
    """The fingerprint of the teacher of the recipe as it is shipped."""
    return teacher().fingerprint()


@pytest.mark.parametrize(
    "word",
    [
        "student.width=3",
        "optimizer.lr=0.01",
        "optimizer.class_path=AdamW",
        "scheduler=null",
        "scheduler_interval=step",
        "trainer.max_epochs=1",
        "trainer.devices=2",
        "data.batch_size=16",
        "data.augment=true",
        "task=CrossEntropyLoss",
        "task_weight=0",
        "terms={}",
        "seed=5",
        "data.num_workers=2",
        "teacher.data.num_workers=2",
    ],
)
def test_what_does_not_concern_the_teacher(word, shipped):
    assert teacher(word).fingerprint() == shipped


@pytest.mark.parametrize(
    "word",
    [
        "teacher.model.width=3",
        "teacher.optimizer.lr=0.01",
        "teacher.scheduler=null",
        "teacher.trainer.max_epochs=1",
        "teacher.data.batch_size=16",
        "teacher.task=CrossEntropyLoss",
        "teacher.seed=5",
    ],
)
def test_what_reaches_the_teacher(word, shipped):
    assert teacher(word).fingerprint() != shipped


def test_what_reaches_the_teacher_changes_nothing_else():
    words = ["teacher.model.width=3", "teacher.seed=5", "teacher.data.batch_size=16", "teacher.task=NLLLoss"]
    changed, plain = read_recipe("digits", words).plain(), read_recipe("digits").plain()
    del changed["teacher"], plain["teacher"]
    assert changed == plain


def test_the_place_of_the_data_goes_for_both(tmp_path):
    recipe = read_recipe("mnist-resnet18-resnet50", [f"data.root={tmp_path}", "data.num_workers=1"])
    place = recipe.teacher_recipe().data.arguments
    assert (place["root"], place["num_workers"]) == (str(tmp_path), 1)
    assert (
        recipe.teacher_recipe().fingerprint() == read_recipe("mnist-resnet18-resnet50").teacher_recipe().fingerprint()
    )


def test_a_key_that_the_file_lacks_does_not_come_to_the_teacher_by_way_of_the_written_recipe(tmp_path):
    """The override is the student's alone, also when the config.yaml of the run is run again."""
    path = tmp_path / "least.yaml"
    path.write_text(yaml.safe_dump({**MINIMAL, "teacher": {"model": "SmallCNN"}, "terms": {"kl": {"loss": "L2"}}}))
    recipe = read_recipe(path, ["scheduler={class_path: StepLR, init_args: {step_size: 1}}", "seed=3"])
    written = tmp_path / "config.yaml"
    written.write_text(yaml.safe_dump(recipe.plain()))
    again = read_recipe(written)
    assert again.teacher_recipe().plain() == recipe.teacher_recipe().plain()
    assert again.teacher_recipe().scheduler is None
    assert again.teacher_recipe().seed == 0


def test_another_teacher_takes_no_keys():
    with pytest.raises(
        StillroomError, match=r"^-o teacher\.seed=1: -t stands in the place of the recipe's teacher; got d"
    ):
        read_recipe("digits", ["teacher.seed=1"], teacher="digits")


def test_how_a_teacher_stands_may_be_said_of_one_that_is_but_named():
    words = ["teacher.check=false", "teacher.classes=[1, 0]"]
    expected = {"from": "digits", "check": False, "classes": [1, 0]}
    assert read_recipe("digits", words, teacher="digits").teacher == expected
    assert read_recipe("yolov3-mobilenetv1-bccd", ["teacher.check=false"]).teacher == {
        "from": "yolov3-resnet34-bccd",
        "check": False,
    }


def test_a_recipe_names_the_teacher_and_a_file_its_weights():
    for teacher in ("digits-born-again", str(find_recipe("digits-born-again"))):
        recipe = read_recipe("digits-method", ["teacher.weights=w.safetensors", "teacher.check=false"], teacher=teacher)
        assert recipe.teacher["model"]["init_args"]["width"] == 4
        assert (recipe.teacher["weights"], recipe.teacher["check"]) == ("w.safetensors", False)
    chain = read_recipe("digits-assistant", ["teacher.weights=w.safetensors"])
    assert chain.teacher["weights"] == "w.safetensors"
    assert chain.teacher["model"] == read_recipe("digits").student.plain()


def test_a_bare_file_of_weights_is_one_of_the_recipes_own_teacher(tmp_path):
    found = read_recipe("digits", ["teacher.model.width=3"], teacher=str(tmp_path / "a.pt")).teacher
    assert (found["weights"], found["model"]["init_args"]["width"]) == (str(tmp_path / "a.pt"), 3)


def test_weights_stand_in_the_place_of_training():
    section = read_recipe("digits", ["teacher.weights=a.pt", "teacher.check=false"]).plain()["teacher"]
    assert (section["weights"], section["check"]) == ("a.pt", False)
    assert section["model"]["class_path"] == "stillroom.models.SmallCNN"
