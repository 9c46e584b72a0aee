"""How good a diffusion model is: validation losses, found errors, the quality of samples."""
