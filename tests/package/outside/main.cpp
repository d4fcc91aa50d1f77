// Trains a small GAN on the embedded digits: alone, or on every rank that mpirun starts.
#include <ganymede/error.hpp>
#include <ganymede/trainer.hpp>
#include <iostream>

int main(int argc, char** argv) {
  try {
    const auto ranks = ganymede::make_communicator();
    ganymede::TrainOptions options;
    options.data = GANYMEDE_SHARE_DIR "/data/mnist-mini";
    options.out = argc > 1 ? argv[1] : "run";
    options.latent = 8;
    options.generator_hidden = {16};
    options.discriminator_hidden = {16};
    options.epochs = 1;
    options.sample_every = 20;

    ganymede::TrainEvents events;
    events.progressed = [](const ganymede::MetricsRecord& record, double, bool) {
      std::cout << "step " << record.step << ", D " << record.discriminator_loss << '\n';
    };
    const ganymede::TrainOutcome outcome = ganymede::train(options, *ranks, events);
    if (ranks->is_root()) std::cout << outcome.steps << " steps, " << outcome.picture.string() << '\n';
  } catch (const ganymede::Error& error) {
    std::cerr << error.what() << '\n';
    return static_cast<int>(error.code());
  }
  return 0;
}
