"""The SLO engine: specs in, exact budgets and burn rates out."""
