"""Recipes: YAML files that run as they stand, found by name."""
