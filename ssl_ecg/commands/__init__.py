"""The sub-commands of `ssl-ecg`: what they take and which function they call."""
