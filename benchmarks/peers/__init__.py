"""Other libraries' flow past a circle: each module runs in an environment of that library's own."""
