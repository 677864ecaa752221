"""Stepwise distillation (StepER, arXiv 2510.07923): a teacher's reasoning with retrieval, cut into first, mid and final
steps, and a loss that weighs the three by learned uncertainties."""
