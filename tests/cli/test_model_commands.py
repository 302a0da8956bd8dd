"""``stillroom eval``, ``infer``, ``inspect`` and ``export``: what is done with a trained model."""

import json
import re
import shutil

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from words_said import files, refused, said, usage

import stillroom as kd
from stillroom.models import SmallCNN

SOURCE = "a run folder, a checkpoint in one, or a model file with its model.json"
NOTHING = "there is no recipe, run folder, class path, torchvision or timm model"


@pytest.fixture
def images(tmp_path):
    """Two digits as image files, in a folder with something else in it."""
    digits = load_digits()
    folder = tmp_path / "images"
    (folder / "deeper").mkdir(parents=True)
    for index, name in ((3, "three.png"), (7, "deeper/seven.png")):
        Image.fromarray((digits.images[index] * 15.9375).round().astype("uint8")).save(folder / name)
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "source", ["run", "run/checkpoints/last.ckpt", "run/model.safetensors", "comparison/distilled-0"]
)
def test_eval(source):
    status, out, complaint = said("eval", source)
    assert (status, complaint) == (0, "")
    assert re.fullmatch(
        r"test: accuracy \d+\.\d\d %, top-5 \d+\.\d\d %, loss \d\.\d{4}, 300 samples "
        r"\(always naming the largest class: 10\.3 %\)\n",
        out,
    )


def test_eval_gives_the_results_of_the_run(here):
    found = json.loads((here / "run" / "results.json").read_text())
    for split in ("test", "validation"):
        last = found[split]["last"]
        reached = f"accuracy {100 * last['accuracy']:.2f} %, top-5 {100 * last['top5']:.2f} %, loss {last['loss']:.4f}"
        start = f"{split}: {reached}, 300 samples"
        assert said("eval", "run", "--split", split)[1].startswith(start)
    assert said("eval", "-o", "data.batch_size=7", "run")[1].startswith("test: accuracy ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("none", f"none: there is no such file or folder; expected {SOURCE}."),
        ("digits", "digits: there is no such file or folder; expected a run folder,"),
        (
            "run/checkpoints",
            "run/checkpoints: this folder holds no trained model; expected model.json. Name a checkpoint: ",
        ),
        (
            "comparison",
            "comparison: this folder holds no trained model; expected model.json. It is a comparison; name one",
        ),
        ("run -o seed=3", "-o seed=3: only the data can be changed here; expected data....=value."),
        ("run -o data.batchsize=3", "data: Digits has no argument 'batchsize'. Did you mean 'batch_size'?"),
        ("run/config.yaml", "run/config.yaml: "),
    ],
)
def test_eval_refusals(here, words, message):
    assert refused(here, "eval", *words.split()).startswith(message)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("bare.safetensors", "model.json in {place}"), ("bare.ckpt", "model.json or config.yaml in {place.parent}")],
)
def test_weights_of_nobody_knows_what(away, name, expected):
    (away / name).write_bytes(b"junk")
    message = (
        f"{name}: nothing says which model these weights belong to; expected {expected.format(place=away)}. Name a"
    )
    assert refused(away, "eval", name).startswith(message)
    if name.endswith("ckpt"):
        assert refused(away, "train", "-r", name).startswith(message)


def test_a_checkpoint_from_where_it_lies(here, monkeypatch):
    there = said("eval", "run/checkpoints/last.ckpt")
    monkeypatch.chdir(here / "run" / "checkpoints")
    assert said("eval", "last.ckpt") == there


def test_a_split_that_there_is_not():
    assert "invalid choice: 'train'" in usage("eval", "run", "--split", "train")


@pytest.mark.usefixtures("here")
def test_infer(images):
    status, out, complaint = said("infer", "run", images / "three.png", images)
    assert (status, complaint) == (0, "")
    lines = out.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        str(images / name) for name in ("three.png", "deeper/seven.png", "three.png")
    ]
    assert lines[0] == lines[2]
    assert re.fullmatch(r".*: (\d \d+\.\d %, ){4}\d \d+\.\d %", lines[0])


def test_infer_names_what_the_model_says(here, images):
    digits = torch.tensor(load_digits().images[[3]], dtype=torch.float32).unsqueeze(1) / 16
    shares = kd.load(here / "run")((digits - 0.3053) / 0.3760).softmax(1)[0]
    status, out, _ = said("infer", "run", images / "three.png", "--top", "2")
    best = shares.topk(2)
    expected = ", ".join(
        f"{index} {100 * share:.1f} %" for share, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    )
    assert (status, out) == (0, f"{images / 'three.png'}: {expected}\n")
    assert said("infer", "run", images / "three.png", "--top", "99")[1].count("%") == 10


def test_infer_refusals(here, images, tmp_path):
    (tmp_path / "empty").mkdir()
    message = f"{tmp_path}/empty: there are no images in this folder; expected .png, .jpg,"
    assert refused(here, "infer", "run", tmp_path / "empty").startswith(message)
    assert refused(here, "infer", "run", "none.png") == "none.png: there is no such image."
    message = f"{images}/notes.txt: the file is not an image that can be read; got "
    assert refused(here, "infer", "run", images / "notes.txt").startswith(message)
    message = "--top: the number of classes is too small; expected at least 1, got 0."
    assert refused(here, "infer", "run", images, "--top", "0") == message
    assert "the following arguments are required: IMAGE" in usage("infer", "run")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("what", "width"), [("digits", 4), ("run", 2), ("run/checkpoints/last.ckpt", 2)])
def test_inspect_a_recipe_or_a_run(what, width):
    status, out, complaint = said("inspect", what)
    assert (status, complaint) == (0, "")
    assert re.search(rf"layer1\.0 +Conv2d +\(2, {width}, 4, 4\) +1 +{9 * width * width}", out)
    assert re.search(r"\(the model's output\) +SmallCNN +\(2, 10\)", out)


@pytest.mark.usefixtures("here")
def test_inspect_functions_and_parameters():
    status, out, complaint = said("inspect", "digits", "--functions")
    assert (status, complaint) == (0, "")
    assert re.search(r"torch\.nn\.functional\.relu +function +3 +3\b", out)
    drawn = r"stillroom\.models\.hidden_patches\.draw_visible +function +0 +1\b"
    assert re.search(drawn, said("inspect", "digits-shared-mask", "--functions")[1])
    status, out, complaint = said("inspect", "digits", "--parameters")
    assert (status, complaint) == (0, "")
    assert re.search(r"fc\.weight +\(10, 8\)", out)
    message = "argument --functions: not allowed with argument --parameters"
    assert usage("inspect", "digits", "--parameters", "--functions").endswith(message)


@pytest.mark.usefixtures("here")
def test_inspect_as_a_tree_and_by_tensors():
    status, out, complaint = said("inspect", "digits", "--tree")
    assert (status, complaint) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "(the model)  SmallCNN  (2, 10)  590"
    assert "├── stem  Sequential  (2, 4, 8, 8)  44" in lines
    assert "│   ├── 0  Conv2d  (2, 4, 8, 8)  36" in lines
    status, out, complaint = said("inspect", "digits", "--tensors")
    assert (status, complaint) == (0, "")
    assert re.search(r"images +input +\(2, 1, 8, 8\) +float32 +512 +0\b", out)
    assert re.search(r"layer1\.0 +Conv2d +\(2, 4, 4, 4\) +float32 +512 +4,608\b", out)


def drawn_size(path):
    with Image.open(path) as image:
        return image.size


def test_inspect_two_models_side_by_side(here, images, tmp_path):
    status, out, complaint = said("inspect", "run", "--cka", "--out", tmp_path / "cka.png")
    assert (status, complaint) == (0, "")
    assert out == f"CKA of 2 layers with 2, 256 samples: {tmp_path}/cka.png\n"
    status, out, complaint = said("inspect", "digits", "run", "--cka", "--out", tmp_path / "other.png")
    assert (status, complaint) == (0, "")
    status, out, complaint = said(
        "inspect", "run", "--draw", "layer1,stem", images / "three.png", "--out", tmp_path / "draw.png"
    )
    assert (status, out, complaint) == (0, f"Drawn: {tmp_path}/draw.png\n", "")
    sizes = [drawn_size(tmp_path / name) for name in ("cka.png", "other.png", "draw.png")]
    assert sizes[0] == sizes[1]
    assert sizes[2][0] > 3 * sizes[2][1]
    assert {path.name for path in tmp_path.iterdir()} == {"images", "cka.png", "other.png", "draw.png"}
    message = f"{tmp_path}/cka.png: this file exists already. Choose another: --out FILE.png."
    assert refused(here, "inspect", "run", "--cka", "--out", tmp_path / "cka.png") == message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("digits run", "inspect: one model is listed at a time; got run. Compare them with --cka or --draw."),
        (
            "SmallCNN digits --cka --input 1,8,8",
            "there are no samples to compare on. Let the first model be a recipe or a run.",
        ),
        (
            "SmallCNN digits --draw stem x.png --input 1,8,8",
            "nothing says how an image becomes an input. Let the first model be a recipe or a run.",
        ),
        ("SmallCNN --cka", "SmallCNN: nothing says which teacher. Name another model to compare it with."),
        ("run --draw stem none.png", "none.png: there is no such image."),
        ("run --draw fc three.png", "fc: only maps can be drawn; expected (N, C, H, W), got (1, 10)."),
        ("run --draw stemm three.png", "stemm: SmallCNN has no module 'stemm'. Did you mean 'stem'"),
    ],
)
def test_inspect_comparing_refusals(here, images, words, message):
    words = [str(images / word) if word == "three.png" else word for word in words.split()]
    assert refused(here, "inspect", *words).startswith(message)


def test_inspect_with_overrides_and_the_teacher(here):
    assert re.search(r"layer1\.0 +Conv2d +\(2, 3, 4, 4\)", said("inspect", "digits", "-o", "student.width=3")[1])
    assert re.search(r"layer1\.0 +Conv2d +\(2, 32, 4, 4\)", said("inspect", "digits", "--teacher")[1])
    message = "teacher: the recipe names no teacher model; got None."
    assert refused(here, "inspect", "digits", "--teacher", "-o", "teacher=null") == message


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("what", "shape", "pattern"),
    [
        ("SmallCNN", "1,8,8", r"stem +Sequential +\(2, 16, 8, 8\)"),
        ("stillroom.models.resnet8", "3,32,32", r"fc +Linear +\(2, 100\)"),
        ("squeezenet1_1", "3,64,64", r"classifier +Sequential"),
        ("torchvision.models.squeezenet1_1", "3,64,64", r"classifier +Sequential"),
        ("resnet10t", "3,64,64", r"layer4 +Sequential +\(2, 512, 2, 2\)"),
    ],
)
def test_inspect_a_model_by_name(what, shape, pattern):
    status, out, complaint = said("inspect", what, "--input", shape)
    assert (status, complaint) == (0, "")
    assert re.search(pattern, out)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("digit", f"{NOTHING} 'digit'. Did you mean 'digits' or"),
        ("smallcn", f"{NOTHING} 'smallcn'. Did you mean 'SmallCNN'"),
        ("squeezenet1_2 --input 3,64,64", f"{NOTHING} 'squeezenet1_2'. Did you mean 'squeezenet1_"),
        (
            "digits --input 3,32,32",
            "SmallCNN does not take an input of shape (2, 3, 32, 32); got Given groups=1, weight of size [4, 1, 3, 3], "
            "expected input[2, 3, 32, 32] to have 1 channels, but got 3 channels instead. "
            "Give the shape of one input: --input 1,8,8.",
        ),
        ("torchvision.models.resnet5", "model: torchvision.models has no 'resnet5'. Did you mean 'resnet50' or"),
        (
            "SmallCNN --input 3,8,8",
            "SmallCNN does not take an input of shape (2, 3, 8, 8); got Given groups=1, weight of ",
        ),
        ("SmallCNN -o width=3", "SmallCNN: only a recipe can be changed, or asked for its teacher; got ['width=3']."),
        ("run --teacher", "run: only a recipe can be changed, or asked for its teacher."),
        ("timm", "model: timm needs the argument 'name'."),
    ],
)
def test_inspect_refusals(here, words, message):
    assert refused(here, "inspect", *words.split()).startswith(message)


def test_a_shape_that_is_none():
    message = "argument --input: expected whole numbers such as 3,32,32, got 'a,b'"
    assert usage("inspect", "SmallCNN", "--input", "a,b").endswith(message)


def test_export(here, tmp_path):
    status, out, complaint = said("export", "run", "--out", tmp_path / "out")
    assert (status, complaint) == (0, "")
    assert set(files(tmp_path / "out")) == {"model.safetensors", "model.onnx", "model.pt2"}
    lines = out.splitlines()
    assert lines[0] == f"{tmp_path}/out/model.safetensors: largest difference from the PyTorch model 0"
    assert all(float(line.rpartition(" ")[2]) < 1e-4 for line in lines)
    plain = SmallCNN(width=2)
    plain.load_state_dict(load_file(tmp_path / "out" / "model.safetensors"), strict=True)
    inputs = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    program = torch.export.load(tmp_path / "out" / "model.pt2").module()
    torch.testing.assert_close(program(inputs), kd.load(here / "run")(inputs))
    torch.testing.assert_close(plain.eval()(inputs), kd.load(here / "run")(inputs))


def test_export_beside_the_model(here, tmp_path):
    shutil.copytree(here / "run", tmp_path / "run")
    status, out, _ = said("export", tmp_path / "run" / "checkpoints" / "best.ckpt", "--format", "safetensors")
    assert status == 0
    assert out.startswith(f"{tmp_path}/run/export/model.safetensors: ")


def test_export_refusals(here):
    message = "--format: there is no format 'onx'. Did you mean 'onnx'?"
    assert refused(here, "export", "run", "--format", "safetensors", "onx") == message
    assert refused(here, "export", "none") == f"none: there is no such file or folder; expected {SOURCE}."
    assert "expected at least one argument" in usage("export", "run", "--format")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "eval run --sizes 64,32",
            "--sizes: only a detector is evaluated at several sizes; got a model that was trained for its accuracy. "
            "Leave it out.",
        ),
        ("infer run three.png --out there", "--out: a classifier finds no boxes to draw. Leave it out."),
        ("export run --nms", "--nms: this model is not written with or without NMS; expected YOLOv3, got SmallCNN."),
    ],
)
def test_what_only_a_detector_does(here, words, message):
    assert refused(here, *words.split()) == message
