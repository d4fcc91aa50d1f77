// Appended classes and scores by class, at sizes around a block's.
#include <cstdint>

#include "unit/cuda_kernels/memory.hpp"

namespace ganymede::testing {
namespace {

class CudaClasses : public Kernels {
 protected:
  static std::vector<std::uint8_t> labels_of(int rows, int classes) {
    std::vector<std::uint8_t> labels;
    for (int r = 0; r < rows; ++r) labels.push_back(static_cast<std::uint8_t>(r * 7 % classes));
    return labels;
  }
};

TEST_F(CudaClasses, AreAppended) {
  for (const int rows : {0, 1, 33})
    for (const int pixels : {1, 4})
      for (const int channels : {1, 5, 64})
        for (const int classes : {1, 10}) {
          const std::vector<std::uint8_t> labels = labels_of(rows, classes);
          const Values x = draws(area(rows, pixels * channels), 1);
          const Values delta = draws(area(rows, pixels * (channels + classes)), 2);
          Memory<std::uint8_t> device_labels(labels);
          Memory<float> device_x(x);
          Memory<float> device_delta(delta);
          Memory<float> y(delta.size(), nan);
          Memory<float> tangent(delta.size(), nan);
          Memory<float> back(x.size(), nan);
          cuda::append_class(nullptr, rows, pixels, channels, classes, device_labels.data(), device_x.data(), y.data());
          cuda::append_class(nullptr, rows, pixels, channels, classes, nullptr, device_x.data(), tangent.data());
          cuda::append_class_backward(nullptr, rows, pixels, channels, classes, device_delta.data(), 1, 0,
                                      device_x.data(), back.data());
          Values appended;
          Values zeros;
          Values slopes;
          for (int r = 0; r < rows; ++r)
            for (int p = 0; p < pixels; ++p) {
              for (int c = 0; c < channels; ++c) {
                const float value = x[slopes.size()];
                slopes.push_back(value > 0 ? delta[appended.size()] : 0.0F * delta[appended.size()]);
                appended.push_back(value);
                zeros.push_back(value);
              }
              for (int c = 0; c < classes; ++c) {
                appended.push_back(c == labels[static_cast<std::size_t>(r)] ? 1.0F : 0.0F);
                zeros.push_back(0.0F);
              }
            }
          expect_same_bits(y.host(), appended, "appended");
          expect_same_bits(tangent.host(), zeros, "tangent");
          expect_same_bits(back.host(), slopes, "backward, relu");
        }
}

TEST_F(CudaClasses, ChooseAScore) {
  for (const int rows : {0, 1, 255, 256, 257})
    for (const int classes : {1, 10}) {
      const std::vector<std::uint8_t> labels = labels_of(rows, classes);
      const Values x = draws(area(rows, 1 + classes), 3);
      Memory<std::uint8_t> device_labels(labels);
      Memory<float> device_x(x);
      Memory<float> y(static_cast<std::size_t>(rows), nan);
      Memory<float> back(x.size(), nan);
      cuda::class_score(nullptr, rows, classes, device_labels.data(), device_x.data(), y.data());
      cuda::class_score_backward(nullptr, rows, classes, device_labels.data(), y.data(), back.data());
      Values scores;
      Values spread(x.size(), 0.0F);
      for (std::size_t r = 0; r < labels.size(); ++r) {
        const std::size_t first = r * static_cast<std::size_t>(1 + classes);
        scores.push_back(x[first] + x[first + 1 + labels[r]]);
        spread[first] = spread[first + 1 + labels[r]] = scores.back();
      }
      expect_same_bits(y.host(), scores, "scores");
      expect_same_bits(back.host(), spread, "backward");
    }
}

}  // namespace
}  // namespace ganymede::testing
