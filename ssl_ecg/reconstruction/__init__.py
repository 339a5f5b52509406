"""How badly an autoencoder reconstructs a record, by lead and in time, and the scores made of it."""
