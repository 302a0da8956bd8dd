"""``--help`` of the commands that read a recipe: every key of one."""

from __future__ import annotations

import inspect
from argparse import ArgumentParser, RawDescriptionHelpFormatter

KEYS = """\
keys of a recipe (a class is a path, {class_path: ..., init_args: {...}}, or a name that stillroom or torch knows):
  name                 of the recipe; its file's name where it says nothing
  student              the model to train: of stillroom, torchvision, timm (stillroom.models.timm) or your own
  alone                the student that compare trains alone, where it is another one
  teacher              null; a recipe, run folder, checkpoint or weights file; or a mapping:
    model                the teacher's class
    weights              a file, or https://...#sha256=...: loaded, never trained; included: by the model itself
    from                 in place of model: a recipe, run folder, checkpoint or weights file
    classes              by_name, or for each class of the student its index among the teacher's
    transform            a class that makes the teacher's input of the student's: another size
    check                true: a teacher no better than chance stops the run
    data, task, optimizer, scheduler, scheduler_interval, trainer, seed
                         how it is trained, by default as the recipe's file says; once, and kept under runs/teachers
  teachers.NAME        in place of teacher: several, each as above; or {members: [NAME, ...], weights: confidence or
                         numbers, tau: ...}, the mean of others. A term says which: teacher: NAME/site
  data                 Digits, MNIST, FashionMNIST, CIFAR10, CIFAR100, Arrays, ImageFolder; of boxes VOC, COCO; Noise
  task, task_weight    cross_entropy, a loss class, or detection (the model's own losses), and its weight; 0 leaves it
                         out, labels are optional then
  terms.NAME           what the teacher teaches:
    loss                 KLDivergence, DKD, L2, AttentionTransfer, FSP, RKDDistance ... of stillroom.losses, or a class
    student, teacher     sites: [teacher/]path[:input|:output][@call][item]; the model's output where nothing is said;
                         or a recorder: {class_path: FunctionOutputs, init_args: {path: package.module.function}}
    connector            null, auto, a class, or a list of classes
    teacher_connector    null, or a class
    extra                {argument of the loss: site, or a list of sites}
    weight               a number, or a schedule: WarmUp, Decay, Between
  deliveries.NAME      what the student takes over: FunctionDelivery, MethodDelivery or ModuleDelivery
  inherit              {path of the student's module: path of the teacher's} that the student starts with
  variant, variants    a name, and {name: sections in place of the recipe's}: -o variant=NAME picks one
  algorithm            who trains whom: FactorStage, Mutual, MeanTeacher, SelfDistill, DAFL, DFAD, ZSKT; where it says
                       nothing, trained teachers teach the student
  optimizer            SGD, AdamW or another class of torch.optim
  scheduler            null, or a class of torch.optim.lr_scheduler
  scheduler_interval   epoch or step
  seed                 of weights, order and augmentation
  trainer:
"""


class RecipeParser(ArgumentParser):
    """A parser whose help ends with the keys of a recipe; those of the trainer come from its own docstring."""

    def format_help(self) -> str:
        from stillroom.recipes.trainer import TrainerSettings

        self.formatter_class = RawDescriptionHelpFormatter
        text = (inspect.getdoc(TrainerSettings) or "").partition("Args:\n")[2].replace("``", "")
        self.epilog = KEYS + text.rstrip()
        return super().format_help()
