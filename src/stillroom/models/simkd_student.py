"""SimKD's student: its own body, a projector, and the teacher's classifier."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from stillroom.connectors import SimKDProjector
from stillroom.errors import StillroomError
from stillroom.recorders import find_module


class SimKDStudent(nn.Module):
    """A classifier whose last map goes through a projector to the teacher's classifier, in place of its own.

    It is what is trained, validated and exported: another network than the one given, with more parameters. The
    classifier is frozen, and random until the teacher's is copied into it: ``inherit={"network.fc": "fc"}``. The
    projector is the module ``network.<features>.projector``, whose output :class:`~stillroom.losses.SimKD` compares
    with the teacher's last map.

    Args:
        network: the student, which takes images (N, C, H, W); a copy of it is changed.
        features: path of its module that returns the last map (N, C, H, W), before the average over the pixels.
        classifier: path of its linear classifier.
        channels: C of the student's last map, and of the teacher's.
        factor: how many times narrower the middle of the projector is than the teacher's map.

    Raises:
        StillroomError: there is no such module, the classifier is not linear, or a number is out of range.

    Reference:
        Chen et al., Knowledge Distillation with the Reused Teacher Classifier, CVPR 2022.
    """

    def __init__(
        self, network: nn.Module, *, features: str, classifier: str, channels: tuple[int, int], factor: int = 2
    ) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        body, head = (find_module(self.network, path) for path in (features, classifier))
        if not isinstance(head, nn.Linear):
            got = type(head).__name__
            raise StillroomError("the classifier must be linear", where=classifier, expected="nn.Linear", got=got)
        behind = nn.Sequential()
        behind.add_module("features", body)
        behind.add_module("projector", SimKDProjector(*channels, factor=factor))
        _put(self.network, features, behind)
        _put(self.network, classifier, nn.Linear(channels[1], head.out_features).requires_grad_(False))
        self._parts = {"the projector": f"{features}.projector", "the teacher's classifier": classifier}

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)

    def contents(self) -> dict[str, int]:
        """How many parameters are the student's own, the projector's, and the teacher's classifier's."""
        counts = {name: _size(self.network.get_submodule(path)) for name, path in self._parts.items()}
        return {"the student": _size(self.network) - sum(counts.values()), **counts}


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _put(model: nn.Module, path: str, module: nn.Module) -> None:
    owner, _, name = path.rpartition(".")
    setattr(model.get_submodule(owner), name, module)
