"""Slack: its Web API, the signatures of what it sends, and Socket Mode."""
