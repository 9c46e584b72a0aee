"""Character-level masked-diffusion language models."""
