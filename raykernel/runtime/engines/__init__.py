"""Engines: the seam (base), the local one, and a fake for tests."""
