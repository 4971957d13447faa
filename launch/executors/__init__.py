"""Who carries a sweep's runs out. Each has `run(points, ...)`, which returns the points that failed."""
