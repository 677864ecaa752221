"""Do two answers mean the same? Start at `answers.py`; `questions.py` compares answers to questions about facts."""
