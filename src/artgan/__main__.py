"""``python -m artgan``, and ``accelerate launch -m artgan train ...``."""

from artgan.cli import main

main()
