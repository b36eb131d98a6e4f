"""The training loop that all plugins share: :func:`artgan.training.loop.train` and what it is made of."""
