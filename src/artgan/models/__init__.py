"""Models: loading by name, and saving to a folder or the Hub. Importing this does not load torch."""
