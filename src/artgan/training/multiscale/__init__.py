"""GANs from noise trained at several resolutions: one after the other, or all at once; what plugins share of it."""
