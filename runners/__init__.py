"""Front doors for a tree of configs. Thin: what they do stands in runner/."""
