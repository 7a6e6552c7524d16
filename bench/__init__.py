"""Measurements of what the design budgets; `make bench` writes them to docs/benchmarks.md."""
