"""Ordered cells of partly occupied crystals."""
