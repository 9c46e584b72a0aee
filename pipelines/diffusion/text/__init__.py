"""Texts as tokens: vocabularies, files, windows."""
