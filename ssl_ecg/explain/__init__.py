"""Why a record is strange: which leads, and when."""
