"""Records on disk, archives and strips."""
