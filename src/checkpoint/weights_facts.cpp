// See weights_facts.hpp.
#include "checkpoint/weights_facts.hpp"

#include <limits>

#include "core/numbers.hpp"
#include "ganymede/error.hpp"

namespace ganymede {
namespace {

constexpr std::uint64_t any_number = std::numeric_limits<std::uint64_t>::max();

}  // namespace

WeightsFacts::Entries WeightsFacts::of_training() const {
  Entries rest = entries_;
  for (const char* name : {network_entry, format_entry, steps_entry, images_seen_entry}) rest.erase(name);
  return rest;
}

const std::string* WeightsFacts::find(const std::string& name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second;
}

std::string WeightsFacts::text(const std::string& name) const {
  const std::string* found = find(name);
  return found == nullptr ? std::string() : *found;
}

std::optional<std::uint64_t> WeightsFacts::number(const std::string& name, std::uint64_t least,
                                                  std::uint64_t most) const {
  const std::string* found = find(name);
  if (found == nullptr) return std::nullopt;
  const auto value = number_from<std::uint64_t>(*found);
  if (!value || *value < least || *value > most)
    throw Error(ExitCode::data,
                source_ + ": " + name + " is '" + *found + "', not a whole number" +
                    (most == any_number ? "" : " from " + std::to_string(least) + " to " + std::to_string(most)));
  return value;
}

std::optional<int> WeightsFacts::small_number(const std::string& name, int least, int most) const {
  const auto value = number(name, static_cast<std::uint64_t>(least), static_cast<std::uint64_t>(most));
  return value ? std::optional(static_cast<int>(*value)) : std::nullopt;
}

std::optional<std::uint64_t> WeightsFacts::steps() const { return number(steps_entry, 0, any_number); }
std::optional<std::uint64_t> WeightsFacts::images_seen() const { return number(images_seen_entry, 0, any_number); }

void WeightsFacts::set_progress(std::uint64_t steps, std::uint64_t images_seen) {
  entries_[steps_entry] = std::to_string(steps);
  entries_[images_seen_entry] = std::to_string(images_seen);
}

std::optional<int> WeightsFacts::image_side() const { return small_number(side_entry, 1, 1024); }
std::optional<int> WeightsFacts::image_channels() const { return small_number(channels_entry, 1, 3); }
std::optional<int> WeightsFacts::classes() const { return small_number(classes_entry, 0, 256); }

void WeightsFacts::set_shape(const DataShape& data) {
  entries_[side_entry] = std::to_string(data.image.height);
  entries_[channels_entry] = std::to_string(data.image.channels);
  entries_[classes_entry] = std::to_string(data.classes);
}

void WeightsFacts::copy_data(const WeightsFacts& from) {
  for (const char* name : {digest_entry, side_entry, channels_entry, classes_entry})
    if (const std::string* value = from.find(name)) entries_[name] = *value;
}

std::optional<WeightsFacts::Difference> WeightsFacts::difference_from(const DataShape& data) const {
  const struct {
    const char* name;
    std::optional<int> stated;
    int needed;
  } sizes[] = {{classes_entry, classes(), data.classes},
               {channels_entry, image_channels(), data.image.channels},
               {side_entry, image_side(), data.image.height}};
  for (const auto& size : sizes)
    if (size.stated && *size.stated != size.needed) return Difference{size.name, *size.stated, size.needed};
  return std::nullopt;
}

void WeightsFacts::set_raw(bool raw) {
  if (raw)
    entries_[weights_entry] = "raw";
  else
    entries_.erase(weights_entry);
}

}  // namespace ganymede
