"""Draw texts from a trained model: what sample.py does."""
