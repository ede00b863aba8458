#include "fastin/lattice.hpp"
#include "fastin/periodic_union_find.hpp"
