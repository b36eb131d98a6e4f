"""Scores of generated pictures. So far: style distance and content kept."""
