"""The command line: prints, exit codes, no logic."""
