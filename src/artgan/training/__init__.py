"""The training loop shared by all plugins: :func:`artgan.training.loop.train` and its parts."""
