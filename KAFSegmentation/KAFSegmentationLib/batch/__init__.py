"""Many scans: those of the scene or of a folder, with what is known of each result."""
