// All that a checkpoint holds of a GAN, copied into host memory at a step boundary: its files can then be made by
// another thread while training goes on.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "gan/gan.hpp"

namespace ganymede {

class GanSnapshot {
 public:
  /// Takes its memory, once. `gan` must outlive it.
  explicit GanSnapshot(const Gan& gan);

  /// Copies the state as it is now; takes no memory. A GPU finishes first what it was given.
  void take();

  /// The files that the state last taken makes, by name. May run beside steps, but not beside take(): it reads the copy
  /// and what never changes of the networks.
  [[nodiscard]] std::map<std::string, TensorFile> files() const;

 private:
  struct Part {
    std::string file;
    std::string prefix;  ///< of the tensors' names
    const Network* network;
    const DeviceArray<float>* from;
    std::vector<float> values;
  };
  void add(const char* file, const std::string& prefix, const Network& network, const DeviceArray<float>& from);

  const Gan* gan_;
  std::vector<Part> parts_;
};

}  // namespace ganymede
