"""Any model of timm, with typed arguments: timm's own maker takes ``**kwargs``, which no recipe can check."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import nn

from stillroom.errors import StillroomError, did_you_mean

__all__ = ["timm"]


def timm(
    name: str,
    *,
    num_classes: int = 1000,
    pretrained: bool = False,
    in_chans: int = 3,
    drop_rate: float | None = None,
    drop_path_rate: float | None = None,
) -> nn.Module:
    """Build a model of timm by its name.

    Args:
        name: as in ``timm.list_models()`` or ``timm.list_pretrained()``, such as ``"resnet18"`` or
            ``"resnet18.a1_in1k"``, or with a prefix that timm knows (``"hf-hub:..."``, ``"local-dir:..."``).
        num_classes: length of the output; 0 for the pooled features.
        pretrained: load timm's weights, from its cache or the network; the head is new where ``num_classes`` differs.
        in_chans: channels of the images.
        drop_rate: dropout before the classifier; None for the model's own default.
        drop_path_rate: stochastic depth; None for the model's own default, which is not always 0.

    Returns:
        The model, in training mode.

    Raises:
        StillroomError: for an unknown name, an argument that this model does not take, or weights that cannot be had.
    """
    # Imported here, because timm takes half a second and most users of this package do not need it.
    import timm as timm_library

    create = cast("Callable[..., nn.Module]", timm_library.create_model)
    known = timm_library.list_models() + timm_library.list_pretrained()
    if ":" not in name and name not in known:
        raise StillroomError(f"timm has no model {name!r}", where="name", fix=did_you_mean(name, known))
    wanted = {
        "num_classes": num_classes,
        "in_chans": in_chans,
        "drop_rate": drop_rate,
        "drop_path_rate": drop_path_rate,
    }
    given = {key: value for key, value in wanted.items() if value is not None}
    try:
        return create(name, pretrained=pretrained, **given)
    except TypeError as error:
        raise StillroomError(f"timm's {name} does not take these arguments", got=f"{given} ({error})") from error
    except Exception as error:  # whatever the hub's client, the network and the file system have to say
        if not pretrained and ":" not in name:
            raise
        raise StillroomError(
            f"the weights of timm's {name} cannot be had",
            got=" ".join(str(error).split()).rstrip("."),
            fix="Check the network and the name, or take pretrained=False and load a file of weights.",
        ) from error
