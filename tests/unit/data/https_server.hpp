// An HTTPS server on 127.0.0.1 that answers as a test tells it to, also badly.
#pragma once

#include <atomic>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

struct ssl_ctx_st;

namespace ganymede::test {

struct Reply {
  int status = 200;
  std::string body = {};
  std::optional<std::size_t> claimed_length = {};  ///< the Content-Length, where it is not the body's
  std::string redirect = {};                       ///< a Location
  bool silent = false;                             ///< says nothing until the client goes
};

class HttpsServer {
 public:
  using Answer = std::function<Reply(const std::string& path)>;

  /// Listens at a port of its own with a certificate of its own, which `authorities` then holds as PEM.
  HttpsServer(const std::filesystem::path& authorities, Answer answer);
  HttpsServer(const HttpsServer&) = delete;
  HttpsServer& operator=(const HttpsServer&) = delete;
  ~HttpsServer();

  /// "https://127.0.0.1:PORT/"
  [[nodiscard]] std::string address() const { return "https://127.0.0.1:" + std::to_string(port_) + "/"; }
  [[nodiscard]] int port() const { return port_; }
  /// The paths asked for, in order.
  [[nodiscard]] std::vector<std::string> asked() const;

 private:
  void make_certificate(const std::filesystem::path& authorities);
  void listen();
  void serve(int connection);

  Answer answer_;
  std::shared_ptr<ssl_ctx_st> context_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stopping_{false};
  mutable std::mutex mutex_;
  std::vector<std::string> asked_;
  std::list<std::jthread> connections_;
  std::jthread accepting_;
};

}  // namespace ganymede::test
