"""Dashboards as values, rendered from SLOs and the metric registry."""
