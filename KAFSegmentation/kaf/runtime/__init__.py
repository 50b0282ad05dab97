"""What everything stands on: devices, ranks, processes, locks, files, events, errors."""
