#include "fastin/geometry/lattice.hpp"
#include "fastin/base/periodic_union_find.hpp"
