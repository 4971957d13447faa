"""Training steps: imjax's members in every strategy, PyTorch and Keras, with the same network and optimizer.

  python -m benchmarks.train_step
  python -m benchmarks.train_step --quick --skip=vmap,compile
  python -m benchmarks.train_step --backbone=efficientnet_lite0

The measure is images times members per second. Peers train one net: several take turns there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from absl import flags

from benchmarks import common, table
from benchmarks.ours import STRATEGIES
from benchmarks.timing import Failed
from benchmarks.worker import Worker
from imjax import cli
from imjax.errors import ErrorCode, UserError

FLAGS = flags.FLAGS
CASES, QUICK = ("64x8", "128x16", "256x8"), ("32x4",)
"""Side of the images in pixels × images per step."""
MEMBERS = 4
SLOW_FROM = 128
"""Side from which members by `vmap` on a CPU are left out: seconds a step."""
PEERS = (
    ("PyTorch, channels_last", "benchmarks.peers_torch:Training", {"channels_last": True}),
    ("PyTorch, channels_first", "benchmarks.peers_torch:Training", {"channels_last": False}),
    ("Keras", "benchmarks.peers_keras:Training", {"jit": "auto"}),
    ("Keras, jit_compile=True", "benchmarks.peers_keras:Training", {"jit": True}),
)
COMPILED = (
    "PyTorch, torch.compile",
    "benchmarks.peers_torch:Training",
    {"channels_last": True, "compiled": True},
)


def define_flags() -> None:
    """Declare this command's flags, once, when it runs and not when it is imported."""
    # A step of a second or two is no turn: the first one after a pause is slower than those after it.
    common.define_flags(rounds=5, seconds=5.0)
    flags.DEFINE_list("cases", list(CASES), "Side of the images x images per step; --quick has its own.")
    flags.DEFINE_bool("vmap", False, "vmap over members at every size, which takes minutes on a CPU.")
    flags.DEFINE_bool("compile", False, "PyTorch by torch.compile as well: minutes of compilation per size.")
    flags.DEFINE_float("alpha", 1.0, "Width of the nets.")
    flags.DEFINE_enum(
        "backbone", "unet_residual", ["unet_residual", "efficientnet_lite0"], "The nets; Keras has the first."
    )


def main(_: list[str]) -> None:
    """Measure, print the table and the JSON line."""
    common.check()
    cases = [case(text) for text in common.sizes(FLAGS.cases, QUICK)]
    limits = measured_limits(FLAGS.quick)
    found = []
    for size, batch in cases:
        rows = common.hold(f"{size}²×{batch}", entrants(size, batch, FLAGS.alpha, FLAGS.backbone))
        same_nets(rows)
        found += with_share(rows, limits, batch)
    text = table.lines(found, ("devices", "share of limit"))
    product, copied = limits["flops"] / 1e9, limits["bytes"] / 1e9
    text.append(f"limits: {product:.0f} GFLOP/s float32 product, {copied:.1f} GB/s copied")
    table.publish("train_step", found, text, limits=limits, alpha=FLAGS.alpha, backbone=FLAGS.backbone)


def case(text: str) -> tuple[int, int]:
    """Side and batch of `64x8`.

    Raises:
        UserError: not of that form, or a side that the U-Net cannot halve four times.
    """
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or int(match[1]) % 16 or not int(match[1]) or not int(match[2]):
        raise UserError(
            f"--cases={text}: expected side x batch, the side a multiple of 16, e.g. 64x8",
            code=ErrorCode.MALFORMED,
            field="--cases",
        )
    return int(match[1]), int(match[2])


def entrants(size: int, batch: int, alpha: float, backbone: str = "unet_residual") -> list[Worker]:
    """Everyone who takes part in a case."""
    shape: dict[str, Any] = {"size": size, "batch": batch, "alpha": alpha}
    peers = [*PEERS, *([COMPILED] if FLAGS.compile else [])]
    if backbone != "unet_residual":
        shape["backbone"] = backbone
        peers = [peer for peer in peers if "keras" not in peer[1]]
    ours = "benchmarks.ours:Training"
    found = [Worker("imjax, 1 member", ours, shape | {"members": 1, "cost": True}, ours=True)]
    for name, (environment, chunk) in STRATEGIES.items():
        if chunk is None and size >= SLOW_FROM and not FLAGS.vmap:
            continue
        args = shape | {"members": MEMBERS, "per_chunk": -1 if chunk is None else chunk}
        found.append(Worker(f"imjax, {MEMBERS} members, {name}", ours, args, True, environment))
    return found + [Worker(name, make, shape | more) for name, make, more in peers]


def measured_limits(quick: bool) -> dict[str, Any]:
    """See `machine.Limits`."""
    table.say("limits of this machine")
    one = Worker("limits", "benchmarks.machine:Limits", {}, ours=True)
    try:
        one.open()
        return one.again(one.make, {"side": 256, "copied": 1 << 20} if quick else {})
    finally:
        one.stop()


def same_nets(rows: Sequence[table.Row]) -> None:
    """Failed if a peer's network has another number of parameters than ours."""
    counts = {row["name"]: row["facts"]["parameters"] for row in rows if "parameters" in row["facts"]}
    if len(set(counts.values())) > 1:
        raise Failed(f"the networks differ in their numbers of parameters: {counts}")


def with_share(rows: Sequence[table.Row], limits: dict[str, Any], batch: int) -> list[table.Row]:
    """The rows, with the share of the machine's limit among the facts of those that ran.

    The least time of a step is what its operations or its bytes take at the measured rates, whichever is
    more; both are those of our program, for peers as well.
    """
    cost = next((row["facts"] for row in rows if row["facts"].get("step_flops")), None)
    if cost is None:
        return list(rows)
    least = max(cost["step_flops"] / limits["flops"], cost["step_bytes"] / limits["bytes"])
    for row in rows:
        if "rate" in row:
            row["facts"]["share of limit"] = least / batch * row["rate"]["median"]
            row["facts"]["share of product rate"] = (
                cost["step_flops"] / limits["flops"] / batch * row["rate"]["median"]
            )
    return list(rows)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
