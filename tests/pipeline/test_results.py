"""The table that a run ends with."""

from imjax.pipeline import results


def row(method, value, rank=1, generation=None, split="test"):
    return {
        "dataset": "toy", "method": method, "seed": 0, "generation": generation, "member": rank - 1,
        "rank": rank, "split": split, "metric": "iou", "class": "", "value": value,
    }  # fmt: skip


def test_an_ensemble_stands_beside_its_nets():
    rows = [
        row("ldt", 0.5),
        row("ldt", 0.4, rank=2),
        row("ldt_ensemble", 0.6),
        row("ldt_ensemble", 0.9, split="val"),
    ]
    rows += [row("im", 0.7, generation=0), row("im_ensemble", 0.8, generation=0)]
    head, ldt, im = (line.split("  ") for line in results.table(rows, "iou", 2).splitlines())
    assert [cell.strip() for cell in head if cell] == [
        "method", "generation", "iou", "iou, ensemble", "iou of the best 1/2",
    ]  # fmt: skip
    assert [cell.strip() for cell in ldt if cell] == ["ldt", "0.5000", "0.6000", "0.4500"]
    assert [cell.strip() for cell in im if cell] == ["im", "0", "0.7000", "0.8000", "0.7000"]


def test_an_ensemble_of_a_joint_method_is_a_line():
    """What such a method trains is a system, which is what its ensemble is of."""
    text = results.table([row("cps", 0.5), row("cps_ensemble", 0.6)], "iou", 1)
    assert [line.split()[0] for line in text.splitlines()] == ["method", "cps", "cps_ensemble"]
    assert "iou, ensemble" not in text
