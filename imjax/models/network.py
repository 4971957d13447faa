"""What the code that trains and asks nets needs of one, without loading flax."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

ENCODER = "backbone"
"""Key of the encoder among the variables of a net that has one of its own: the word of torchvision and
mmsegmentation. `encoder` is the name of its features (`config.joint_schema.TAPS`)."""


@runtime_checkable
class Network(Protocol):
    """The part of `flax.linen.Module` that is used; a plan, which trains nothing, need not load flax for it.

    The module's own `apply` is typed as a union of what it returns with and without `mutable`.
    """

    def init(self, rngs: Any, *inputs: Any, **options: Any) -> Any:
        """See `flax.linen.Module.init`."""
        ...

    def apply(self, variables: Any, *inputs: Any, **options: Any) -> Any:
        """See `flax.linen.Module.apply`."""
        ...
