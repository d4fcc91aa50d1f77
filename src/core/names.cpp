// See names.hpp.
#include "core/names.hpp"

namespace ganymede {
namespace {

// Optimal string alignment distance: one insertion, deletion, substitution or swap counts as one.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i)
    for (std::size_t j = 1; j <= b.size(); ++j) {
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  return d[a.size()][b.size()];
}

}  // namespace

std::string nearest_name(const std::string& mistyped, std::span<const std::string> known) {
  std::string best;
  // A name that shares less than about two thirds with what was typed is a guess, not a suggestion.
  std::size_t least = mistyped.size() / 3 + 1;
  for (const std::string& name : known) {
    const std::size_t d = distance(mistyped, name);
    if (d <= least && (best.empty() || d < least)) {
      best = name;
      least = d;
    }
  }
  return best;
}

}  // namespace ganymede
