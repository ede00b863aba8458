// Lengths that decide which points of a landscape are one.
#pragma once

namespace fastin {

constexpr double kSameSite = 0.05;    // angstrom between two descents into one minimum
constexpr double kSameSaddle = 0.02;  // angstrom between two searches that found one saddle
constexpr double kRounded = 0.3;      // angstrom that rounded coordinates may move a stationary point by

}  // namespace fastin
