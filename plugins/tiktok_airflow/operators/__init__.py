"""Operators of the Dags."""
