// The history of each word of memory during a launch; see race_check.hpp for the rules.
#include "cuda_emulation/race_check.hpp"

#include <algorithm>
#include <cstring>
#include <sstream>

namespace ganymede::emulation {
namespace {

constexpr std::uintptr_t word_bytes = 4;
constexpr std::uintptr_t page_words = 1024;

std::uint16_t warp_of(std::uint16_t thread) { return static_cast<std::uint16_t>(thread / 32U); }

}  // namespace

struct RaceCheck::Record {
  Place place;
  std::uint8_t mask = 0;  // bytes of the word; 0: no access yet
  bool atomic = false;
};

// Of a launch: an earlier one's says nothing.
struct RaceCheck::Cell {
  Record write;
  Record read[2];
  std::uint32_t launch = 0;
  std::uint8_t was_read = 0;  // bytes, during the whole launch
  std::uint8_t was_written = 0;
};

struct RaceCheck::Page {
  std::uintptr_t number;
  std::uint32_t launch;  // the last that touched it
  Cell cells[page_words];
};

RaceCheck::RaceCheck() = default;
RaceCheck::~RaceCheck() = default;

void RaceCheck::begin() {
  // Memory that comes and goes would leave its pages behind.
  if (pages_.size() > 4096) {
    pages_.clear();
    recent_.fill(nullptr);
  }
  ++launch_;
  releases_.clear();
  acquires_.clear();
  fences_.clear();
  race_.clear();
}

RaceCheck::Page& RaceCheck::page(std::uintptr_t number) {
  Page*& recent = recent_[number % recent_.size()];
  if (recent == nullptr || recent->number != number) {
    std::unique_ptr<Page>& page = pages_[number];
    if (page == nullptr) {
      page = std::make_unique<Page>();
      page->number = number;
    }
    recent = page.get();
  }
  recent->launch = launch_;
  return *recent;
}

RaceCheck::Cell& RaceCheck::cell(std::uintptr_t word) {
  Cell& cell = page(word / page_words).cells[word % page_words];
  if (cell.launch != launch_) {
    cell = Cell{};
    cell.launch = launch_;
  }
  return cell;
}

void RaceCheck::touch(std::uintptr_t address, std::size_t bytes, Access kind, const Place& place) {
  const std::uintptr_t end = address + bytes;
  while (address < end) {
    const std::uintptr_t word = address / word_bytes;
    const std::uintptr_t next = std::min(end, (word + 1) * word_bytes);
    const unsigned mask = ((1U << (next - address)) - 1U) << (address % word_bytes);
    touch_word(word, mask, kind, place);
    address = next;
  }
}

bool RaceCheck::ordered(const Record& earlier, const Place& now) const {
  const Place& then = earlier.place;
  if (then.block == now.block) {
    return then.thread == now.thread || then.barriers < now.barriers ||
           (warp_of(then.thread) == warp_of(now.thread) && then.warp_barriers < now.warp_barriers);
  }
  for (const Acquire& acquire : acquires_) {
    if (!acquire.fenced || (acquire.thread != now.thread && acquire.barriers >= now.barriers)) continue;
    const std::vector<Release>& releases = releases_.at(acquire.word);
    for (std::size_t i = 0; i < acquire.count; ++i) {
      const Release& release = releases[i];
      if (release.block == then.block &&
          (then.barriers < release.barriers || (then.barriers == release.barriers && then.thread == release.thread)))
        return true;
    }
  }
  return false;
}

void RaceCheck::touch_word(std::uintptr_t word, unsigned mask, Access kind, const Place& place) {
  Cell& cell = this->cell(word);
  const bool writes = kind != Access::read;
  const bool atomic = kind == Access::atomic;
  const auto collides = [&](const Record& earlier) {
    return (earlier.mask & mask) != 0 && !(atomic && earlier.atomic) && !ordered(earlier, place);
  };
  if (race_.empty()) {
    if (collides(cell.write))
      report(word * word_bytes, cell.write, cell.write.atomic ? Access::atomic : Access::write, kind, place);
    for (const Record& read : cell.read)
      if (writes && race_.empty() && collides(read)) report(word * word_bytes, read, Access::read, kind, place);
  }
  const Record record{place, static_cast<std::uint8_t>(mask), atomic};
  if (kind != Access::write) cell.was_read = static_cast<std::uint8_t>(cell.was_read | mask);
  if (writes) {
    cell.was_written = static_cast<std::uint8_t>(cell.was_written | mask);
    cell.write = record;
    // What comes after this write comes after the reads before it; an atomic one collides with less, so it hides none.
    if (!atomic) cell.read[0] = cell.read[1] = Record{};
    if (atomic) {
      if (acquiring_block_ != place.block) {
        acquires_.clear();
        acquiring_block_ = place.block;
      }
      std::vector<Release>& releases = releases_[word];
      acquires_.push_back({word, releases.size(), place.thread, place.barriers, false});
      const bool fenced = std::any_of(fences_.begin(), fences_.end(), [&](const Place& fence) {
        return fence.block == place.block && fence.thread == place.thread && fence.barriers == place.barriers;
      });
      if (fenced) releases.push_back({place.block, place.barriers, place.thread});
    }
    return;
  }
  // Two reads suffice if they are by different warps, or by different lanes since the warp's last barrier: any write
  // that is not ordered after all reads collides with one of the two.
  Record& first = cell.read[0];
  Record& second = cell.read[1];
  const auto current = [&](const Record& r) {
    return r.mask != 0 && r.place.block == place.block && r.place.barriers == place.barriers;
  };
  const auto same_thread = [&](const Record& r) { return current(r) && r.place.thread == place.thread; };
  if (same_thread(first)) {
    first = {place, static_cast<std::uint8_t>(first.mask | mask), false};
  } else if (same_thread(second)) {
    second = {place, static_cast<std::uint8_t>(second.mask | mask), false};
  } else if (!current(first)) {
    first = record;
  } else if (!current(second)) {
    second = record;
  } else if (warp_of(first.place.thread) == warp_of(second.place.thread)) {
    if (first.place.warp_barriers < place.warp_barriers || warp_of(first.place.thread) != warp_of(place.thread)) {
      first = record;
    } else if (second.place.warp_barriers < place.warp_barriers) {
      second = record;
    }
  }
}

void RaceCheck::fence(const Place& place) {
  if (!fences_.empty() && fences_.front().block != place.block) fences_.clear();
  const auto known =
      std::find_if(fences_.begin(), fences_.end(), [&](const Place& fence) { return fence.thread == place.thread; });
  if (known == fences_.end()) {
    fences_.push_back(place);
  } else {
    *known = place;
  }
  if (acquiring_block_ != place.block) return;
  for (Acquire& acquire : acquires_)
    if (!acquire.fenced && acquire.thread == place.thread) {
      acquire.fenced = true;
      acquire.barriers = place.barriers;
    }
}

void RaceCheck::forget(std::uintptr_t address, std::size_t bytes) {
  for (std::uintptr_t word = address / word_bytes; word * word_bytes < address + bytes; ++word)
    page(word / page_words).cells[word % page_words].launch = 0;
}

void RaceCheck::report(std::uintptr_t address, const Record& earlier, Access did, Access does, const Place& place) {
  const auto verb = [](Access access) {
    return access == Access::read ? "read" : access == Access::write ? "write" : "update atomically";
  };
  std::ostringstream text;
  text << "a race at address 0x" << std::hex << address << std::dec << ": thread " << earlier.place.thread
       << " of block " << earlier.place.block << " and thread " << place.thread << " of block " << place.block << " "
       << verb(did) << " and " << verb(does) << " it with nothing between them that orders them";
  race_ = text.str();
}

std::vector<AccessRange> RaceCheck::ranges() const {
  std::vector<const Page*> touched;
  for (const auto& [number, page] : pages_)
    if (page->launch == launch_) touched.push_back(page.get());
  std::sort(touched.begin(), touched.end(), [](const Page* a, const Page* b) { return a->number < b->number; });
  std::vector<AccessRange> ranges;
  for (const Page* page : touched) {
    for (std::uintptr_t i = 0; i < page_words; ++i) {
      const Cell& cell = page->cells[i];
      if (cell.launch != launch_) continue;
      for (std::uintptr_t byte = 0; byte < word_bytes; ++byte) {
        const bool read = (cell.was_read >> byte & 1) != 0;
        const bool written = (cell.was_written >> byte & 1) != 0;
        if (!read && !written) continue;
        // NOLINTNEXTLINE(performance-no-int-to-ptr): an address is what the instrumentation gave.
        const auto* at = reinterpret_cast<const std::byte*>((page->number * page_words + i) * word_bytes + byte);
        if (!ranges.empty()) {
          AccessRange& last = ranges.back();
          if (last.begin + last.bytes == at && last.read == read && last.written == written) {
            ++last.bytes;
            continue;
          }
        }
        ranges.push_back({at, 1, read, written});
      }
    }
  }
  return ranges;
}

}  // namespace ganymede::emulation
