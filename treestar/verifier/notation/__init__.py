"""The many ways to write an answer: numbers, units, words, LaTeX, what Python prints. Start at `canonical.py`."""
