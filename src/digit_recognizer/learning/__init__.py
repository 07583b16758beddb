"""Arrays in, arrays out: no disk, no network, no printing."""
