"""A Prometheus, or whatever answers like one (Thanos, Mimir, VictoriaMetrics), as a store of samples."""
