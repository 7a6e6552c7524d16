"""What `netsre up` does on one node: the lab, the children, and taking it all down again."""
