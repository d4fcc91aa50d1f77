// See generator_source.hpp.
#include "cli/generator_source.hpp"

namespace ganymede::cli {

GeneratorSource::GeneratorSource(const SavedGenerator& saved, std::uint64_t seed, std::uint64_t count, Device& device)
    : generator_(load_generator(saved, device)),
      sampler_(generator_, saved.options, saved.shape.classes),
      images_(sampler_, generator_.parameter_array(), generator_.outputs(), saved.shape.classes, seed, count) {}

}  // namespace ganymede::cli
