"""What netsre measures: the meaning, kind and labels of every metric it exposes."""
