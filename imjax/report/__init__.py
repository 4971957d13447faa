"""`report.html` of one or several runs: one self-contained page, read from the runs' folders.

Nothing here computes on images or nets: it needs no accelerator and starts in a second.
"""

from imjax.report.page import write_report

__all__ = ["write_report"]
