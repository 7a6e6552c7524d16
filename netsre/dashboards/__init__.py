"""Grafana boards from SLOs and the metric registry: pure functions from values to panels to bytes."""
