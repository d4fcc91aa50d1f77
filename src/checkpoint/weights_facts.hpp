// What a weights file says of itself in its metadata: the entries' names, and how their values are written.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "ganymede/shapes.hpp"

namespace ganymede {

/// Each question is answered from the text, so that what another program has put under one of the names is in nobody's
/// way who does not ask for it. A value that cannot be what its name says is an Error(data) that names file and entry.
class WeightsFacts {
 public:
  using Entries = std::map<std::string, std::string>;

  WeightsFacts() = default;
  /// TensorFile::metadata of what was read from `source`, or entries to begin a new file's with, such as options.
  explicit WeightsFacts(Entries entries, std::string source = {})
      : entries_(std::move(entries)), source_(std::move(source)) {}

  /// All of them: TensorFile::metadata.
  [[nodiscard]] const Entries& entries() const { return entries_; }
  /// Those that say neither which network it is nor how far it was trained: options, its data, and what is not ours.
  [[nodiscard]] Entries of_training() const;
  /// An entry's text, such as an option's; null where there is none.
  [[nodiscard]] const std::string* find(const std::string& name) const;

  /// "generator", "discriminator" or "judge"; empty where it does not say.
  [[nodiscard]] std::string network() const { return text(network_entry); }
  void set_network(const std::string& network) { entries_[network_entry] = network; }

  [[nodiscard]] std::optional<std::uint64_t> steps() const;
  [[nodiscard]] std::optional<std::uint64_t> images_seen() const;
  void set_progress(std::uint64_t steps, std::uint64_t images_seen);

  /// Dataset::digest() of the training images; empty where it does not say.
  [[nodiscard]] std::string data_digest() const { return text(digest_entry); }
  void set_data_digest(const std::string& digest) { entries_[digest_entry] = digest; }

  [[nodiscard]] std::optional<int> image_side() const;
  [[nodiscard]] std::optional<int> image_channels() const;
  [[nodiscard]] std::optional<int> classes() const;
  void set_shape(const DataShape& data);

  /// The digest and the shape of its data, as far as another file says them.
  void copy_data(const WeightsFacts& from);

  struct Difference {
    std::string name;
    int stated;
    int needed;
  };
  /// Of which shape it says to be that `data` is not.
  [[nodiscard]] std::optional<Difference> difference_from(const DataShape& data) const;

  /// Whether they are G's weights as they were trained, of a training that kept their average.
  [[nodiscard]] bool raw() const { return text(weights_entry) == "raw"; }
  void set_raw(bool raw);

  /// That PyTorch can load them, as its own files say.
  void set_pytorch() { entries_[format_entry] = "pt"; }

 private:
  static constexpr const char* network_entry = "network";
  static constexpr const char* steps_entry = "steps";
  static constexpr const char* images_seen_entry = "images-seen";
  static constexpr const char* digest_entry = "data-digest";
  static constexpr const char* side_entry = "image-side";
  static constexpr const char* channels_entry = "image-channels";
  static constexpr const char* classes_entry = "classes";
  static constexpr const char* weights_entry = "weights";
  static constexpr const char* format_entry = "format";

  [[nodiscard]] std::string text(const std::string& name) const;
  [[nodiscard]] std::optional<std::uint64_t> number(const std::string& name, std::uint64_t least,
                                                    std::uint64_t most) const;
  [[nodiscard]] std::optional<int> small_number(const std::string& name, int least, int most) const;

  Entries entries_;
  std::string source_;
};

}  // namespace ganymede
