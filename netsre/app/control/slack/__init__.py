"""Incidents in Slack: what is told there, and the words of people that come from there."""
