"""Network policies as documents: what they say as values, and the strict readers that make them of files."""
