"""From burning budgets to alerts: pure decisions with named reasons."""
