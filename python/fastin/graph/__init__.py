"""Graphs of interstitial networks and crystals as plain arrays, for any model."""
