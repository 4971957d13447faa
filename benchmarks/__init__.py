"""How fast imjax is beside what a careful user would write: see docs/explanation/performance.md."""
