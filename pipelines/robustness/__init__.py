"""Classifiers under attack: adversarial examples, and rows from outside of the training distribution."""
