"""Models: from a name to a model, and from a model to a folder or the Hub. Importing this loads no torch."""
