"""FDT, LDT, ALDT: training on labels alone (methods.md 1.1). The bounds that every method is held against.

FDT has all labels, LDT those of the labeled share, ALDT nine augmented copies of each of LDT's pairs beside
them. LDT and ALDT are also where the other methods start.
"""

from imjax.methods.generational.base import GenerationalMethod

GENERATIONAL_METHODS = {name: GenerationalMethod(name, generations=False) for name in ("fdt", "ldt", "aldt")}
