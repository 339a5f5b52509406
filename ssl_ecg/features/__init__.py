"""Features that are computed and not learnt: R peaks, averaged beats, statistics of leads, and baselines on them."""
