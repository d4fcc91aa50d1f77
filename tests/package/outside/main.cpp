// The README's example, as it is printed there: trains alone, or on every rank that mpirun starts.
#include <ganymede/error.hpp>
#include <ganymede/trainer.hpp>
#include <iostream>

int main() {
  try {
    const auto ranks = ganymede::make_communicator();
    ganymede::TrainOptions options;
    options.out = "runs/from-cpp";
    options.epochs = 20;
    ganymede::train(options, *ranks);
  } catch (const ganymede::Error& error) {
    std::cerr << error.what() << '\n';
    return static_cast<int>(error.code());
  }
}
