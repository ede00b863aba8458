"""The interstitial network: voids and bottlenecks of a framework, its files, its exact clearances."""
