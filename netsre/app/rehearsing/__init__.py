"""Plays scenarios: the real engine over a real store in memory, beside a made-up node and clock."""
