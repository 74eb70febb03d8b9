"""The network within what distributes it over ranks."""

from typing import Any

from mmengine.model import is_model_wrapper


def unwrapped(model: Any) -> Any:
    """Return a model without its distributed wrapper, if it has one."""
    return model.module if is_model_wrapper(model) else model
