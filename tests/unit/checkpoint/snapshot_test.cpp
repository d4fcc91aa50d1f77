// A copy of a GAN's state: of its step, whatever training does meanwhile.
#include "gan/snapshot.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "gan/step.hpp"
#include "support/small_gan.hpp"

namespace ganymede::testing {
namespace {

TEST(GanSnapshot, IsOfItsStepWhateverTrainingDoesMeanwhile) {
  const auto device = make_cpu_device(1);
  const auto alone = make_local_communicator();
  TrainOptions plain = small_options();
  plain.ema = 0.9;
  plain.discriminator_activation = "leaky-relu";  // no unit keeps gradients from G
  TrainOptions dcgan = plain;
  change_to_small_dcgan(dcgan);
  dcgan.condition = "none";
  TrainOptions spectral = plain;
  spectral.spectral_norm = true;
  for (const TrainOptions& o : {plain, dcgan, spectral}) {
    const int side = o.model == "mlp" ? small_side : 8;
    const RandomImages shown(20, side, 1);
    Gan gan = make_gan(o, DataShape::grey(side), *device);
    GanStep step(*device, *alone, gan, shown.set(), o);
    GanSnapshot snapshot(gan);
    for (int round = 0; round < 3; ++round) {
      for (int i = 0; i < 4; ++i) step.run(false);
      const auto expected = gan.save();
      ASSERT_EQ(expected.size(), 5U);
      snapshot.take();
      std::map<std::string, TensorFile> files;
      std::thread other([&] { files = snapshot.files(); });
      for (int i = 0; i < 4; ++i) step.run(false);
      other.join();
      ASSERT_EQ(files.size(), expected.size());
      for (const auto& [name, file] : expected) {
        EXPECT_TRUE(files.at(name).serialize() == file.serialize()) << name;
        EXPECT_FALSE(gan.save().at(name).serialize() == file.serialize()) << name << " has not changed";
      }
    }
  }
}

}  // namespace
}  // namespace ganymede::testing
