"""The controller's process: one turn after the other, what it serves, and what it does about alerts."""

from typing import Final

ACTOR: Final = "controller"
"""Who did it, in the audit."""
