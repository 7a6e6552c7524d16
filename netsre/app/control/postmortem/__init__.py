"""The draft of a postmortem: what is on record about an incident, counted, with blanks for people."""
