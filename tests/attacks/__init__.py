"""Hostile programs, the place that shows them to be live, and the tests that they do nothing in the sandbox."""
