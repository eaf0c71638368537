"""Device, threads, chunks, engines, progress bars, ports."""
