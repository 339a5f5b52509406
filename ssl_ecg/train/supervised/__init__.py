"""Training on labels: the model, its strips, its rows, and the runs of Lightning that teach it."""
