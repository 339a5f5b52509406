"""From an encoder and an archive to a vector a record, in memory and on disk."""
