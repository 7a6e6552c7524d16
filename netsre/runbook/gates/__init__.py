"""The gates of a runbook, one small module for each family of them; `runbook.decide` asks them in order."""
