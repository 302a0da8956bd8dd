"""``stillroom check``"""

import re

import pytest
from words_said import TINY, files, refused, said, usage


@pytest.fixture
def quiet(here):
    """In the place of the shop, of which nothing changes."""
    before = files(here)
    yield here
    assert files(here) == before


@pytest.mark.usefixtures("quiet")
def test_a_healthy_recipe():
    status, out, complaint = said("check", "-c", "digits", "-o", *TINY)
    assert (status, complaint) == (0, "")
    assert re.search(r"^ term +student +teacher +loss +weight +share +gradient +cosine *$", out, re.MULTILINE)
    row = r"^ kl +\(output\) +\(output\) +\d\S* +1 +\d\S* % +\S+ +-?\d\.\d\d *\n +\(64, 10\) +\(64, 10\)"
    assert re.search(row, out, re.MULTILINE)
    assert re.search(r"^ task +\d\S* +1 +\d\S* % +\S+ *$", out, re.MULTILINE)
    assert "\nstudent: SmallCNN, 192 parameters, 2,056 multiply-adds for one sample\n" in out
    assert "\nteacher: SmallCNN, 2,034 parameters, 18,592 multiply-adds for one sample\n" in out
    assert "\ntrain data: read 1,197 of 1,197 samples\nvalidation data: read 300 of 300 samples\n" in out
    assert re.search(
        r"\na step of 64 samples: \S+ ms on the CPU, without the optimizer; reading them: \S+ ms in one", out
    )
    assert re.search(r"\nan epoch: 19 batches, about \S+ s; 1 epochs: about \S+ s\n", out)
    assert "\npeak memory of a step: unknown on the CPU\n" in out
    assert out.endswith("\n\nNothing was found.\n")


@pytest.mark.usefixtures("quiet")
def test_connectors_and_brackets_are_shown_as_they_are():
    hint = "terms.hint={loss: L2, student: layer2, teacher: layer2, connector: auto, weight: {class_path: Between, "
    hint += "init_args: {weight: 1.0, start: 1}}}"
    status, out, _ = said("check", "-c", "digits", "-o", *TINY, hint)
    assert status == 0
    assert re.search(r"^ hint +layer2 +layer2 +not now +0 +0\.0 % *\n +\(64, 4, 2, 2\)", out, re.MULTILINE)
    assert "terms.hint.connector: auto: Conv1x1( (conv): Conv2d(4, 16, kernel_size=(1, 1), stride=(1, 1)) )\n" in out
    items = "terms.hint={loss: L2, student: 'layer2[0]', teacher: layer2}"
    status, out, _ = said("check", "-c", "digits", "-o", *TINY, items)
    assert status == 1
    assert "error: terms.hint.student: the recorded value has no item [0]; got a Tensor of shape (8, 4, 2, 2)." in out


@pytest.mark.usefixtures("quiet")
def test_a_warning_is_no_error():
    status, out, _ = said("check", "-c", "digits", "-o", *TINY, "terms.kl.weight=1e4", "--batches", "1")
    assert status == 0
    assert "\nwarning: terms.kl: its gradient is much larger than the task's: " in out
    assert out.endswith("\n1 warning\n")


@pytest.mark.usefixtures("quiet")
def test_an_error_is_a_status():
    hint = "terms.hint={loss: L2, student: 'stem:input', teacher: 'stem:input'}"
    status, out, complaint = said("check", "-c", "digits", "-o", *TINY, hint, "terms.kl.weight=1e4")
    assert (status, complaint) == (1, "")
    assert (
        "\nerror: terms.hint: its weight is 1, and nothing that the student learns has a part in its value (0)." in out
    )
    assert out.endswith("\n1 error, 1 warning\n")


@pytest.mark.usefixtures("quiet")
def test_another_teacher():
    status, out, _ = said("check", "-c", "digits", "-o", *TINY[:4], "-t", "run")
    assert status == 0
    assert "\nteacher: SmallCNN, 192 parameters" in out


@pytest.mark.usefixtures("quiet")
def test_other_recipes():
    status, out, _ = said("check", "-c", "digits-method", "-o", "variant=VirtualTeacher", *TINY[:4], "--batches", "1")
    assert status == 0
    assert re.search(r"^ method +\(output\) +\d", out, re.MULTILINE)
    status, out, _ = said("check", "-c", "digits-mutual", "--batches", "1")
    assert status == 0
    assert re.search(r"^ peer1_mutual +\d", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "which recipe?; expected -c RECIPE. `stillroom recipes` lists those that are shipped."),
        ("-c digit", "-c: there is no recipe 'digit'. Did you mean 'digits' or"),
        ("-c digits -o student.widht=2", "student: SmallCNN has no argument 'widht'. Did you mean 'width'?"),
        ("-c digits --batches 0", "--batches: there are too few batches; expected at least 1, got 0."),
        ("-c digits -t none", "teacher: there is no teacher 'none'; expected a recipe, a run folder"),
    ],
)
def test_words_that_are_wrong(here, words, message):
    assert message in refused(here, "check", *words.split())


def test_a_number_that_is_none():
    assert "invalid int value: 'x'" in usage("check", "-c", "digits", "--batches", "x")
