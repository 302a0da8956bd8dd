"""What all data modules share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from stillroom.data.loader import Collate, Loader, progress_of
from stillroom.data.order import EpochBatches
from stillroom.data.samples import PerBatch, Samples, Source
from stillroom.errors import StillroomError

Transform = Callable[[Any], Any]


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What a data module is made of.

    Args:
        train, validation, test: the sets; each yields (input, label) or an input alone.
        augmented: what makes a training input of an item; None: the item is one.
        per_batch: what finishes a training input with draws that its batch shares; None: nothing does.
        plain: the same for validation and test, without chance.
        class_names: in the order of the labels; None: unknown.
        open_image: makes of an image file what ``plain`` takes; None: the items are not images, or nobody knows how.
        python_too: the items or transforms may draw from ``random`` or ``numpy.random``.
        collate: makes a batch of samples; None: tensors of one shape are stacked.
    """

    train: Source
    validation: Source
    test: Source | None
    augmented: Transform | None = None
    per_batch: PerBatch | None = None
    plain: Transform | None = None
    class_names: list[str] | None = None
    open_image: Callable[[Path], Any] | None = None
    python_too: bool = False
    collate: Collate | None = None


class DataModule(LightningDataModule, ABC):
    """Loaders over the ``Sources`` that a subclass reads, with keyed augmentation and a place to resume from.

    A batch is ``{"inputs": Tensor, "labels": Tensor, "index": Tensor}``; for detection it has no labels, and its inputs
    are the model's keywords, ``{"images": Tensor, "targets": [...]}``. Nothing is read before it is needed.

    Args:
        batch_size: per process.
        num_workers: loading processes; 0: none besides the training itself.

    Attributes:
        seed: of the training order and the augmentation, to be set before training. It moves no sample from one set
            to another.
    """

    def __init__(self, *, batch_size: int, num_workers: int) -> None:
        super().__init__()
        if batch_size < 1 or num_workers < 0:
            raise StillroomError(
                "a loader's number is out of range",
                expected="batch_size >= 1, num_workers >= 0",
                got=f"batch_size={batch_size}, num_workers={num_workers}",
            )
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, 0

    @abstractmethod
    def read(self) -> Sources:
        """Reads the sets, downloading what is missing where that is possible; called once, at first need."""

    @cached_property
    def sources(self) -> Sources:
        return self.read()

    @property
    def class_names(self) -> list[str]:
        """In the order of the labels."""
        if self.sources.class_names is None:
            raise StillroomError(
                f"the classes of {type(self).__name__} are unknown",
                expected="a training set with 'classes' or 'targets'",
                got=type(self.sources.train).__name__,
                fix="Give class_names.",
            )
        return self.sources.class_names

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one evaluation input, such as (3, 32, 32)."""
        return tuple(self.example(1).shape[1:])

    @property
    def judged_on(self) -> Literal["test", "validation"]:
        """The split that trained models are judged on: the test set, where there is one."""
        return "validation" if self.sources.test is None else "test"

    def prepare_data(self) -> None:
        """Called by Lightning in one process before all others go on, so that nothing is downloaded twice."""
        self.setup("fit")

    def setup(self, stage: str) -> None:
        _ = self.sources

    def train_dataloader(self) -> Loader:
        sources = self.sources
        samples = Samples(
            sources.train,
            sources.augmented,
            seed=self.seed,
            python_too=sources.python_too,
            per_batch=sources.per_batch,
        )
        return self._loader(samples, shuffle=True, progress=self._progress)

    def val_dataloader(self) -> Loader:
        return self._loader(self._evaluated(self.sources.validation))

    def test_dataloader(self) -> Loader:
        if self.sources.test is None:
            raise StillroomError(f"{type(self).__name__} has no test set", fix="Evaluate on the validation set.")
        return self._loader(self._evaluated(self.sources.test))

    def sample(self, count: int) -> dict[str, Any]:
        """A batch of the first ``count`` validation samples, or of all where there are fewer."""
        samples = self._evaluated(self.sources.validation)
        if count < 1 or not len(samples):
            raise StillroomError("a batch holds at least one sample", got=f"{count} of {len(samples)}")
        collate = self.sources.collate or default_collate
        return collate([samples[index] for index in range(min(count, len(samples)))])

    def spread(self, count: int, *, split: Literal["test", "validation"]) -> DataLoader[dict[str, Any]]:
        """Batches of ``count`` samples of a split, evenly spread over it and in its order; of all, if there are fewer.

        The last batch takes what is left over, so that none is smaller than the others.
        """
        source = self.sources.test if split == "test" else self.sources.validation
        if source is None:
            raise StillroomError(f"{type(self).__name__} has no {split} set")
        total = len(source)
        places = [number * total // min(count, total) for number in range(min(count, total))]
        size = self.batch_size
        whole = max(len(places) // size, 1) if places else 0
        batches = [places[number * size : (number + 1) * size] for number in range(whole)]
        if batches:
            batches[-1] += places[whole * size :]
        return DataLoader(
            self._evaluated(source),
            batch_sampler=batches,
            num_workers=self.num_workers,
            collate_fn=self.sources.collate,
            generator=torch.Generator(),  # without one, each iter() draws from the global generator
        )

    def example(self, count: int) -> Tensor:
        """What a trained model is asked with: the inputs of ``sample(count)``, without targets.

        Shape:
            (N, ``*input_shape``).
        """
        return _images(self.sample(count)["inputs"])

    def transform_image(self, path: str | Path) -> Tensor:
        """The input that an image file gives in evaluation.

        Shape:
            ``input_shape``, without a batch dimension.

        Raises:
            StillroomError: these are no images, or there is none in that file.
        """
        path, sources = Path(path), self.sources
        if sources.open_image is None or sources.plain is None:
            raise StillroomError(
                f"{type(self).__name__} does not tell how an image file becomes an input",
                fix="Make the inputs yourself and call the model on them.",
            )
        if not path.is_file():
            raise StillroomError("there is no such image", where=str(path))
        try:
            return sources.plain(sources.open_image(path))
        except OSError as error:
            raise StillroomError("the file is not an image that can be read", where=str(path), got=error) from error

    def _evaluated(self, source: Source) -> Samples:
        """Draws, should there be any, come from a fixed seed: every run is measured on the same inputs."""
        return Samples(source, self.sources.plain, python_too=self.sources.python_too)

    def _loader(
        self, samples: Samples, *, shuffle: bool = False, progress: Callable[[], tuple[int, int]] | None = None
    ) -> Loader:
        rank, world = (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        batches = EpochBatches(
            len(samples), batch_size=self.batch_size, seed=self.seed, rank=rank, world=world, shuffle=shuffle
        )
        collate = self.sources.collate
        return Loader(samples, batches, num_workers=self.num_workers, progress=progress, collate=collate)

    def _progress(self) -> tuple[int, int]:
        return (0, 0) if self.trainer is None else progress_of(self.trainer)


def _images(inputs: Any) -> Tensor:
    return cast("Mapping[str, Tensor]", inputs)["images"] if isinstance(inputs, Mapping) else inputs
