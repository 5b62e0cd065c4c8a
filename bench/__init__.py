"""What it costs and how long it takes, measured on real processes: `./dev bench`."""
