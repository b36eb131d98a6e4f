"""What tests share: the program in processes of its own, servers on loopback, wheels, plain reference code."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""
