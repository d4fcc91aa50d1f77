// Vector clocks and shadows: see races.hpp.
#include "cuda_sim/races.hpp"

#include <algorithm>

namespace cuda_sim {

std::string Stamp::text() const {
  std::string result = "'" + name + "' (operation " + std::to_string(serial) + ", stream " + std::to_string(stream);
  if (graph != 0) result += ", graph " + std::to_string(graph) + " node " + std::to_string(node);
  return result + ")";
}

void Clock::join(const Clock& other) {
  if (ticks_.size() < other.ticks_.size()) ticks_.resize(other.ticks_.size());
  for (std::size_t lane = 0; lane < other.ticks_.size(); ++lane) {
    ticks_[lane] = std::max(ticks_[lane], other.ticks_[lane]);
  }
}

void Clock::see(unsigned lane, Tick tick) {
  if (ticks_.size() <= lane) ticks_.resize(lane + 1);
  ticks_[lane] = std::max(ticks_[lane], tick);
}

void Shadow::split(std::size_t at) {
  auto after = segments_.upper_bound(at);
  if (after == segments_.begin()) return;
  auto& [begin, segment] = *std::prev(after);
  if (begin == at || segment.end <= at) return;
  Segment rest = segment;
  segment.end = at;
  segments_.emplace_hint(after, at, std::move(rest));
}

void Shadow::merge(std::size_t begin, std::size_t end) {
  auto at = segments_.lower_bound(begin);
  if (at != segments_.begin()) --at;
  while (at != segments_.end() && at->first <= end) {
    const auto next = std::next(at);
    if (next == segments_.end()) return;
    const Segment& left = at->second;
    const Segment& right = next->second;
    if (left.end == next->first && left.writer == right.writer && left.readers == right.readers) {
      at->second.end = right.end;
      segments_.erase(next);
    } else {
      at = next;
    }
  }
}

void Shadow::access(std::size_t begin, std::size_t end, bool write, const StampPtr& who, const Clock& clock,
                    const std::function<void(const Conflict&)>& report) {
  if (begin >= end) return;
  split(begin);
  split(end);
  std::size_t covered = begin;
  const auto fill_gap = [&](Map::iterator where, std::size_t to) {
    if (covered < to) {
      Segment fresh{to, write ? who : nullptr, {}};
      if (!write) fresh.readers.push_back(who);
      segments_.emplace_hint(where, covered, std::move(fresh));
    }
  };
  auto at = segments_.lower_bound(begin);
  for (; at != segments_.end() && at->first < end; ++at) {
    fill_gap(at, at->first);
    Segment& segment = at->second;
    covered = segment.end;
    if (segment.writer != nullptr && segment.writer != who && !clock.knows(*segment.writer)) {
      report({segment.writer, true, at->first, segment.end});
    }
    if (write) {
      for (const StampPtr& reader : segment.readers) {
        if (reader != who && !clock.knows(*reader)) report({reader, false, at->first, segment.end});
      }
      segment.writer = who;
      segment.readers.clear();
    } else {
      // Readers that this one has seen need no place of their own: who has seen this one has seen them.
      std::erase_if(segment.readers, [&](const StampPtr& reader) { return clock.knows(*reader); });
      segment.readers.push_back(who);
    }
  }
  fill_gap(at, end);
  merge(begin, end);
}

StampPtr Shadow::unseen(std::size_t begin, std::size_t end, bool write, const Clock& clock) const {
  auto at = segments_.upper_bound(begin);
  if (at != segments_.begin()) --at;
  for (; at != segments_.end() && at->first < end; ++at) {
    const auto& [first, segment] = *at;
    if (segment.end <= begin) continue;
    if (segment.writer != nullptr && !clock.knows(*segment.writer)) return segment.writer;
    const std::size_t bytes = segment.end - first;
    if (!write || (bytes <= 8 && (bytes & (bytes - 1)) == 0 && first % bytes == 0)) continue;
    for (const StampPtr& reader : segment.readers) {
      if (!clock.knows(*reader)) return reader;
    }
  }
  return nullptr;
}

StampPtr Shadow::unseen_reader(const Clock& clock) const {
  for (const auto& [first, segment] : segments_) {
    for (const StampPtr& reader : segment.readers) {
      if (!clock.knows(*reader)) return reader;
    }
  }
  return nullptr;
}

unsigned Lanes::take() {
  if (!free_.empty()) {
    const unsigned lane = free_.back();
    free_.pop_back();
    return lane;
  }
  ticks_.push_back(0);
  return static_cast<unsigned>(ticks_.size() - 1);
}

}  // namespace cuda_sim
