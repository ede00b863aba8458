"""The bond valence site energy of a mobile ion: parameters, field, grid, percolation barriers, landscape."""
