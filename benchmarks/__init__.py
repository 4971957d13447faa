"""How fast imjax is beside what a careful user would write without it; docs/performance.md has the commands."""
