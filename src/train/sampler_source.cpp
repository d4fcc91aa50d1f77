// See sampler_source.hpp.
#include "train/sampler_source.hpp"

#include <algorithm>

#include "report/image_grid.hpp"

namespace ganymede {

void SamplerSource::read(std::uint64_t first, int count, std::uint8_t* images, std::uint8_t* labels) {
  if (labels != nullptr && classes_ > 0)
    for (int i = 0; i < count; ++i)
      labels[i] = static_cast<std::uint8_t>(sampler_.class_of(first + static_cast<std::uint64_t>(i)));
  const std::vector<float> values = sampler_.draw(parameters_, seed_, math::Stream::noise_for_samples, first, count);
  std::transform(values.begin(), values.end(), images, grey_level);
}

}  // namespace ganymede
