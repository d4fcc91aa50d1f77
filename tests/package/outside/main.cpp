// The README's example, as it is printed there: trains alone, or on every rank that mpirun starts.
#include <ganymede/error.hpp>
#include <ganymede/trainer.hpp>
#include <iostream>
#include <memory>

int main() {
  std::unique_ptr<ganymede::Communicator> ranks;
  try {
    ranks = ganymede::make_communicator();
    ganymede::TrainOptions options;
    options.out = "runs/from-cpp";
    options.epochs = 20;
    ganymede::train(options, *ranks);
  } catch (const ganymede::AgreedError& error) {  // every rank's, of whom one says it
    if (ranks->is_root()) std::cerr << error.what() << '\n';
    return static_cast<int>(error.code());
  } catch (const ganymede::Error& error) {  // this rank's alone: the others are not to wait for it
    std::cerr << error.what() << '\n';
    if (ranks) ranks->abort(error.code());
    return static_cast<int>(error.code());
  }
}
