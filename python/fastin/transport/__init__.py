"""Sites, hops and paths of a mobile ion; NEB chains, kinetics, Arrhenius fits."""
