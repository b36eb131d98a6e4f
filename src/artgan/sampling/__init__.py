"""Generating pictures from noise."""
