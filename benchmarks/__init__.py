"""How fast imjax is beside what a careful user would write; docs/performance.md has the commands."""
