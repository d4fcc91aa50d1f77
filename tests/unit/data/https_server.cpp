// One thread a connection, one request a connection.
#include "unit/data/https_server.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <stdexcept>

namespace ganymede::test {
namespace {

void need(bool condition, const char* what) {
  if (!condition) throw std::runtime_error(what);
}

bool readable(int socket, const std::atomic<bool>& stopping) {
  pollfd wait{socket, POLLIN, 0};
  while (!stopping) {
    if (::poll(&wait, 1, 20) > 0) return true;
  }
  return false;
}

}  // namespace

HttpsServer::HttpsServer(const std::filesystem::path& authorities, Answer answer) : answer_(std::move(answer)) {
  make_certificate(authorities);
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  need(listener_ >= 0, "socket");
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof where;
  need(::bind(listener_, reinterpret_cast<sockaddr*>(&where), size) == 0, "bind");
  need(::getsockname(listener_, reinterpret_cast<sockaddr*>(&where), &size) == 0, "getsockname");
  need(::listen(listener_, 16) == 0, "listen");
  port_ = ntohs(where.sin_port);
  accepting_ = std::jthread([this] { listen(); });
}

HttpsServer::~HttpsServer() {
  stopping_ = true;
  accepting_.join();
  connections_.clear();
  ::close(listener_);
}

std::vector<std::string> HttpsServer::asked() const {
  const std::lock_guard lock(mutex_);
  return asked_;
}

void HttpsServer::make_certificate(const std::filesystem::path& authorities) {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"), &EVP_PKEY_free);
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), &X509_free);
  need(key != nullptr && certificate != nullptr, "certificate");
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* const name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("test"), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  X509_EXTENSION* const address = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1");
  need(address != nullptr, "subjectAltName");
  X509_add_ext(certificate.get(), address, -1);
  X509_EXTENSION_free(address);
  need(X509_sign(certificate.get(), key.get(), EVP_sha256()) > 0, "signature");

  std::FILE* const file = std::fopen(authorities.c_str(), "w");
  need(file != nullptr, "authorities");
  PEM_write_X509(file, certificate.get());
  std::fclose(file);

  context_.reset(SSL_CTX_new(TLS_server_method()), &SSL_CTX_free);
  need(context_ != nullptr && SSL_CTX_use_certificate(context_.get(), certificate.get()) == 1 &&
           SSL_CTX_use_PrivateKey(context_.get(), key.get()) == 1,
       "TLS");
}

void HttpsServer::listen() {
  while (readable(listener_, stopping_)) {
    const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection >= 0) connections_.emplace_back([this, connection] { serve(connection); });
  }
}

void HttpsServer::serve(int connection) {
  // SSL_write would meet a client that has gone with SIGPIPE; the tests' main thread cannot know.
  std::signal(SIGPIPE, SIG_IGN);
  const std::unique_ptr<SSL, decltype(&SSL_free)> tls(SSL_new(context_.get()), &SSL_free);
  SSL_set_fd(tls.get(), connection);
  std::string request;
  if (SSL_accept(tls.get()) == 1) {
    while (request.find("\r\n\r\n") == std::string::npos) {
      std::array<char, 4096> piece{};
      const int count = SSL_read(tls.get(), piece.data(), piece.size());
      if (count <= 0) break;
      request.append(piece.data(), static_cast<std::size_t>(count));
    }
  }
  if (const std::size_t start = request.find(' '); start != std::string::npos) {
    const std::string path = request.substr(start + 1, request.find(' ', start + 1) - start - 1);
    {
      const std::lock_guard lock(mutex_);
      asked_.push_back(path);
    }
    const Reply reply = answer_(path);
    if (reply.silent) {
      readable(connection, stopping_);
    } else {
      std::string text = "HTTP/1.1 " + std::to_string(reply.status) + " Answer\r\nConnection: close\r\n";
      if (!reply.redirect.empty()) text += "Location: " + reply.redirect + "\r\n";
      text += "Content-Length: " + std::to_string(reply.claimed_length.value_or(reply.body.size())) + "\r\n\r\n";
      text += reply.body;
      SSL_write(tls.get(), text.data(), static_cast<int>(text.size()));
    }
    SSL_shutdown(tls.get());
  }
  ::close(connection);
}

}  // namespace ganymede::test
