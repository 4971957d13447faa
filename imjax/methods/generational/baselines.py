"""FDT, LDT and ALDT: training on labels alone (Vorndran & Roeck 2024, arXiv 2401.14387).

FDT trains on all labels (full dataset training), LDT on those of the labeled share (limited dataset
training), ALDT on LDT's pairs and nine augmented copies of each. The other generational methods are compared
with them, and start from the nets of LDT or ALDT.
"""

from __future__ import annotations

from imjax.methods.generational.base import GenerationalMethod

METHODS = {name: GenerationalMethod(name, generations=False) for name in ("fdt", "ldt", "aldt")}
