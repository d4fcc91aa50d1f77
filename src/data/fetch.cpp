// Fetching through libcurl; SHA-256 from libcrypto.
#include "data/fetch.hpp"

#include <curl/curl.h>
#include <openssl/evp.h>

#include <array>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <system_error>

#include "core/files.hpp"
#include "core/heartbeat.hpp"
#include "core/names.hpp"
#include "core/numbers.hpp"
#include "data/byte_reader.hpp"
#include "ganymede/error.hpp"

namespace ganymede::data {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// A mirror that cannot be reached, or that hardly sends, must not use up the time of the next.
constexpr long connect_seconds = 15;
constexpr long stalled_seconds = 20;
constexpr long stalled_bytes_per_second = 1000;
constexpr long most_redirects = 5;

// Why a mirror did not do; the next one is tried.
class MirrorFailed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Body {
  std::string bytes;
  std::size_t limit = 0;
  bool too_long = false;
};

std::size_t append(char* data, std::size_t one, std::size_t count, void* target) {
  auto& body = *static_cast<Body*>(target);
  const std::size_t size = one * count;
  heartbeat::beat();
  if (size > body.limit - body.bytes.size()) {
    body.too_long = true;
    return 0;
  }
  try {
    body.bytes.append(data, size);
  } catch (const std::bad_alloc&) {
    return 0;
  }
  return size;
}

void start_curl() {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (started != CURLE_OK) {
    throw Error(ExitCode::data, std::string("libcurl cannot start: ") + curl_easy_strerror(started));
  }
}

class Downloader {
 public:
  explicit Downloader(const FetchSettings& settings) : end_(Clock::now() + settings.deadline) {
    start_curl();
    curl_.reset(curl_easy_init());
    if (curl_ == nullptr) throw std::bad_alloc();
    set(CURLOPT_ERRORBUFFER, reason_.data());
    set(CURLOPT_WRITEFUNCTION, &append);
    set(CURLOPT_PROTOCOLS_STR, "https");  // for where redirects lead, too
    set(CURLOPT_FOLLOWLOCATION, 1L);
    set(CURLOPT_MAXREDIRS, most_redirects);
    set(CURLOPT_FAILONERROR, 1L);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_USERAGENT, "ganymede");
    set(CURLOPT_CONNECTTIMEOUT, connect_seconds);
    set(CURLOPT_LOW_SPEED_LIMIT, stalled_bytes_per_second);
    set(CURLOPT_LOW_SPEED_TIME, stalled_seconds);
    if (!settings.authorities.empty()) set(CURLOPT_CAINFO, settings.authorities.c_str());
  }

  [[nodiscard]] bool time_is_up() const { return left().count() <= 0; }

  // At most `limit` bytes of what `address` serves.
  std::string get(const std::string& address, std::size_t limit) {
    if (time_is_up()) throw MirrorFailed("not asked, the time is up");
    Body body;
    body.limit = limit;
    reason_[0] = '\0';
    set(CURLOPT_URL, address.c_str());
    set(CURLOPT_WRITEDATA, &body);
    set(CURLOPT_TIMEOUT_MS, static_cast<long>(left().count()));
    const CURLcode result = curl_easy_perform(curl_.get());
    if (body.too_long) {
      throw MirrorFailed(address + ": length: expected at most " + std::to_string(limit) + " bytes, found more");
    }
    if (result != CURLE_OK) {
      throw MirrorFailed(address + ": " + (reason_[0] != '\0' ? reason_.data() : curl_easy_strerror(result)));
    }
    return std::move(body.bytes);
  }

 private:
  [[nodiscard]] milliseconds left() const { return std::chrono::duration_cast<milliseconds>(end_ - Clock::now()); }

  template <class Value>
  void set(CURLoption option, Value value) {
    if (const CURLcode result = curl_easy_setopt(curl_.get(), option, value); result != CURLE_OK) {
      throw Error(ExitCode::data, std::string("libcurl refuses an option: ") + curl_easy_strerror(result));
    }
  }

  struct Cleanup {
    void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
  };

  Clock::time_point end_;
  std::array<char, CURL_ERROR_SIZE> reason_{};
  std::unique_ptr<CURL, Cleanup> curl_;
};

// The unpacked file, or MirrorFailed.
std::string get_checked(Downloader& downloader, const std::string& mirror, const RemoteFile& file) {
  const std::string address = mirror + file.name + ".gz";
  // gzip never makes data much larger than it was.
  const std::string packed = downloader.get(address, file.size + file.size / 100 + 1024);
  std::string bytes(file.size, '\0');
  try {
    ByteReader reader(std::as_bytes(std::span(packed)), address);
    const std::size_t size = reader.read({reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size()});
    if (size < bytes.size()) {
      damaged(address, "length", std::to_string(bytes.size()) + " bytes unpacked", std::to_string(size));
    }
    reader.expect_end();
    if (const std::string sum = sha256(bytes); sum != file.sha256) damaged(address, "SHA-256", file.sha256, sum);
  } catch (const Error& error) {
    throw MirrorFailed(error.what());
  }
  return bytes;
}

}  // namespace

const std::vector<RemoteFile>& mnist_files() {
  static const std::vector<RemoteFile> files = {
      {"train-images-idx3-ubyte", 16 + 60000 * 28 * 28,
       "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"},
      {"train-labels-idx1-ubyte", 8 + 60000, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"},
      {"t10k-images-idx3-ubyte", 16 + 10000 * 28 * 28,
       "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"},
      {"t10k-labels-idx1-ubyte", 8 + 10000, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"},
  };
  return files;
}

const FetchSettings& mnist_fetch_settings() {
  static const FetchSettings settings = {
      {"https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"}};
  return settings;
}

void fetch(const std::vector<RemoteFile>& files, const std::filesystem::path& folder, const FetchSettings& settings) {
  make_folders(folder);
  Downloader downloader(settings);
  auto next = files.begin();
  std::string answers;
  for (const std::string& mirror : settings.mirrors) {
    try {
      for (; next != files.end(); ++next) {
        std::error_code unknown;  // reads as absent; writing will tell what is wrong with the folder
        if (std::filesystem::exists(folder / next->name, unknown)) continue;
        // Only what a mirror does is caught below: a folder that cannot be written is no reason to try another.
        write_file_atomically(folder / next->name, get_checked(downloader, mirror, *next));
      }
      return;
    } catch (const MirrorFailed& failure) {
      answers += (answers.empty() ? "" : "; ") + std::string(failure.what());
    }
    if (downloader.time_is_up()) {
      answers += formatted("; the time of %g s is up", static_cast<double>(settings.deadline.count()) / 1000);
      break;
    }
  }
  const std::string names = joined(files, ", ", [](const RemoteFile& file) { return file.name + ".gz"; });
  throw Error(ExitCode::data, "the files could not be fetched (" + answers + "): put " + names +
                                  ", as they are or unpacked, into " + folder.string() + " by hand");
}

std::string sha256(std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> sum{};
  unsigned int size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), sum.data(), &size, EVP_sha256(), nullptr) != 1) {
    throw Error(ExitCode::data, "libcrypto cannot compute SHA-256");
  }
  return hex(std::span(sum).first(size));
}

}  // namespace ganymede::data
