// Spectral normalisation (Miyato, Kataoka, Koyama, Yoshida: "Spectral Normalization for Generative Adversarial
// Networks", 2018): passes work with W̄ = W/σ, σ = uᵀWv, which follows W's largest singular value, as u and v take one
// step of the power iteration after each update of W. They are the same between updates, so that W̄ is computed once for
// all passes, and the way back from the gradient Ḡ with respect to W̄, (Ḡ - ⟨Ḡ, W̄⟩uvᵀ)/σ, is linear in Ḡ: it is gone
// once, from the gradient that is summed over the whole batch.
#pragma once

#include <vector>

#include "ganymede/network.hpp"

namespace ganymede {

/// The weights under the name that PyTorch's torch.nn.utils.parametrizations.spectral_norm gives them, and behind them
/// u and v, whose elements are in the order of the weights' rows and of the elements of one.
std::vector<ParameterSpec> parametrized_spectrally(ParameterSpec weight);

/// What passes work with in place of a network's flat array of parameters.
class SpectralNorm {
 public:
  /// A normalised matrix, and where it and its singular vectors begin in the flat array.
  struct Place {
    MatrixShape shape;
    std::size_t w, u, v;
  };
  /// For a flat array that begins with `count` trainable parameters.
  SpectralNorm(Device& device, std::size_t count, std::vector<Place> places);

  /// Takes so many steps of the power iteration.
  void iterate(float* flat, int steps);
  /// Takes the parameters over from the flat array, matrices divided by σ.
  void refresh(float* flat);
  /// [count]
  [[nodiscard]] const float* parameters() const { return working_.data(); }
  /// From the gradient with respect to parameters() to that of the flat array's, [count] both.
  [[nodiscard]] const float* gradient(float* flat, const float* of_working);

 private:
  [[nodiscard]] SpectralMatrix matrix(float* flat, std::size_t number);
  // copy(begin, count) for what lies between the matrices.
  template <class Copy>
  void for_rest(Copy&& copy) const;

  Device* device_;
  std::size_t count_;
  std::vector<Place> places_;
  DeviceArray<float> working_;
  DeviceArray<float> gradient_;
  DeviceArray<float> sigmas_;  // of each matrix
  DeviceArray<double> work_;
};

}  // namespace ganymede
