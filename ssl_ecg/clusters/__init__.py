"""Groups of recordings that embeddings form, how stable they are, and which recordings to label first."""
