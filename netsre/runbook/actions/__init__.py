"""What a runbook can do, one module per action."""
