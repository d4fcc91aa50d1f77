// See step_operations.hpp.
#include "train/step_operations.hpp"

#include "device/counting_device.hpp"
#include "gan/gan.hpp"
#include "gan/step.hpp"

namespace ganymede {

std::vector<Operation> operations_of_step(const TrainOptions& options, Communicator& ranks, const ImageSet& images,
                                          std::uint64_t step) {
  CountingDevice device(false, options.precision == "bf16");
  Gan gan = make_empty_gan(options, images.shape(), device);
  GanStep steps(device, ranks, gan, images, options);
  steps.set_steps(step);
  static_cast<void>(device.take_operations());
  steps.run(false);
  return device.take_operations();
}

}  // namespace ganymede
