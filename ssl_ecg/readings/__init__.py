"""How the outputs of a model are read: thresholds, calibration, intervals."""
