// See spectral_norm.hpp.
#include "nn/spectral_norm.hpp"

#include <algorithm>
#include <utility>

namespace ganymede {

std::vector<ParameterSpec> parametrized_spectrally(ParameterSpec weight) {
  const std::int64_t rows = weight.shape.front();
  ParameterSpec v = weight;
  v.name = "parametrizations.weight.0._v";
  v.shape = {static_cast<std::int64_t>(weight.count()) / rows};
  v.init = Init::standard_normal;
  v.trainable = false;
  if (!v.view.empty()) v.view.front() = 1;
  weight.name = "parametrizations.weight.original";
  return {std::move(weight), {"parametrizations.weight.0._u", {rows}, Init::zero, 0, 0, false}, std::move(v)};
}

SpectralNorm::SpectralNorm(Device& device, std::size_t count, std::vector<Place> places)
    : device_(&device),
      count_(count),
      places_(std::move(places)),
      working_(device, count),
      gradient_(device, count),
      sigmas_(device, places_.size()) {
  int most = 0;
  for (const Place& place : places_) most = std::max({most, place.shape.rows, place.shape.columns});
  work_ = DeviceArray<double>(device, static_cast<std::size_t>(most));
}

void SpectralNorm::iterate(float* flat, int steps) {
  for (std::size_t i = 0; i < places_.size(); ++i)
    for (int step = 0; step < steps; ++step) device_->spectral_iteration(matrix(flat, i));
}

void SpectralNorm::refresh(float* flat) {
  for (std::size_t i = 0; i < places_.size(); ++i) device_->spectral_normalise(matrix(flat, i));
  for_rest([&](std::size_t begin, std::size_t count) {
    device_->copy(working_.data() + begin, flat + begin, count * sizeof(float));
  });
}

const float* SpectralNorm::gradient(float* flat, const float* of_working) {
  for (std::size_t i = 0; i < places_.size(); ++i)
    device_->spectral_gradient(matrix(flat, i), of_working + places_[i].w, gradient_.data() + places_[i].w);
  for_rest([&](std::size_t begin, std::size_t count) {
    device_->copy(gradient_.data() + begin, of_working + begin, count * sizeof(float));
  });
  return gradient_.data();
}

SpectralMatrix SpectralNorm::matrix(float* flat, std::size_t number) {
  const Place& place = places_[number];
  return {place.shape.rows,        place.shape.columns,       flat + place.w, flat + place.u, flat + place.v,
          sigmas_.data() + number, working_.data() + place.w, work_.data()};
}

template <class Copy>
void SpectralNorm::for_rest(Copy&& copy) const {
  std::size_t begin = 0;
  for (const Place& place : places_) {
    if (place.w > begin) copy(begin, place.w - begin);
    begin = place.w + static_cast<std::size_t>(place.shape.rows) * static_cast<std::size_t>(place.shape.columns);
  }
  if (count_ > begin) copy(begin, count_ - begin);
}

}  // namespace ganymede
