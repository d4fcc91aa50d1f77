// See shared_tensor_file.hpp.
#include "train/shared_tensor_file.hpp"

#include <utility>

namespace ganymede {

TensorFile shared_tensor_file(Communicator& ranks, TensorFile file, const std::string& source) {
  if (ranks.size() == 1) return file;
  std::string bytes;
  on_root(ranks, [&] { bytes = file.serialize(); });
  bytes = shared_text(ranks, std::move(bytes));
  together(ranks, [&] {
    if (!ranks.is_root()) file = TensorFile::parse(bytes, source);
  });
  return file;
}

}  // namespace ganymede
