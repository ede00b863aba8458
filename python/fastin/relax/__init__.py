"""Barriers with everything relaxed: nudged elastic bands of a network's legs with any ASE calculator."""
