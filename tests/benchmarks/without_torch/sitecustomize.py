"""A Python without PyTorch, for tests of what happens then."""

import sys

sys.modules["torch"] = None
