"""What fine-tuned models say of recordings, alone or together, and which are unlike their training data."""
