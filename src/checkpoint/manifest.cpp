// manifest.json of a checkpoint, written in one canonical form.
#include "checkpoint/manifest.hpp"

#include "core/files.hpp"
#include "core/json.hpp"
#include "ganymede/error.hpp"

namespace ganymede {
namespace {

constexpr const char* format = "ganymede-checkpoint";
// A program reads the manifests of its own version alone, whose fields are all known and all there: so the text can be
// held to one canonical form. Whoever adds a field or changes one raises the version, and lets parse() take the earlier
// one, too: by the list of fields it had, with a value here for each that it lacks, and by serialize() for that
// version.
constexpr std::uint64_t version = 1;

nlohmann::json to_json(const Manifest& manifest) {
  auto files = nlohmann::json::object();
  for (const auto& [name, file] : manifest.files) files[name] = {{"bytes", file.bytes}, {"digest", file.digest}};
  auto options = nlohmann::json::object();
  for (const auto& [name, value] : manifest.options) options[name] = value;
  return {{"format", format},
          {"version", version},
          {"step", manifest.step},
          {"images_seen", manifest.images_seen},
          {"program", manifest.program},
          {"arithmetic", manifest.arithmetic},
          {"data_digest", manifest.data_digest},
          {"options", options},
          {"files", files}};
}

bool is_digest(std::string_view text) {
  return text.size() == 32 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

bool is_checkpoint_file_name(std::string_view name) {
  constexpr std::string_view suffix = ".safetensors";
  constexpr std::string_view allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
  return name.size() > suffix.size() && name.size() <= 128 && name.ends_with(suffix) && name.front() != '.' &&
         name.find_first_not_of(allowed) == std::string_view::npos;
}

std::string Manifest::serialize() const {
  try {
    auto json = to_json(*this);
    json["digest"] = digest(json.dump(2));
    return json.dump(2) + '\n';
  } catch (const nlohmann::json::exception&) {
    throw Error(ExitCode::data, "cannot write a checkpoint's manifest: the name or value of an option is not UTF-8");
  }
}

Manifest Manifest::parse(std::string_view text, const std::string& source) {
  const auto json = parse_json(text, source);
  if (!json.is_object()) refuse(source, "manifest", "an object", describe(json));
  // Format and version first: everything behind them may look different in another one.
  const auto given_format = json.find("format");
  if (given_format == json.end() || *given_format != format) {
    refuse(source, "format", in_quotes(format), given_format == json.end() ? "none" : describe(*given_format));
  }
  const auto given_version = json.find("version");
  if (given_version == json.end() || *given_version != version) {
    refuse(source, "version", std::to_string(version) + ", the one that this program reads",
           (given_version == json.end() ? "none" : describe(*given_version)) +
               "; use the version of ganymede that wrote the checkpoint");
  }
  expect_keys(json,
              {"format", "version", "step", "images_seen", "program", "arithmetic", "data_digest", "options", "files",
               "digest"},
              source, "manifest");

  Manifest manifest;
  manifest.step = expect_unsigned(json["step"], source, "step");
  manifest.images_seen = expect_unsigned(json["images_seen"], source, "images_seen");
  manifest.program = expect_string(json["program"], source, "program");
  manifest.arithmetic = expect_string(json["arithmetic"], source, "arithmetic");
  manifest.data_digest = expect_string(json["data_digest"], source, "data_digest");
  if (!json["options"].is_object()) refuse(source, "options", "an object", describe(json["options"]));
  for (const auto& option : json["options"].items()) {
    manifest.options[option.key()] = expect_string(option.value(), source, "options " + in_quotes(option.key()));
  }
  if (!json["files"].is_object()) refuse(source, "files", "an object", describe(json["files"]));
  for (const auto& item : json["files"].items()) {
    const std::string field = "files " + in_quotes(item.key());
    if (!is_checkpoint_file_name(item.key())) {
      refuse(source, "files", "names like generator.safetensors, without a folder", in_quotes(item.key()));
    }
    expect_keys(item.value(), {"bytes", "digest"}, source, field);
    File file;
    file.bytes = expect_unsigned(item.value()["bytes"], source, field + " bytes");
    file.digest = expect_string(item.value()["digest"], source, field + " digest");
    if (!is_digest(file.digest)) refuse(source, field + " digest", "32 hex digits", in_quotes(file.digest));
    manifest.files[item.key()] = file;
  }

  auto content = json;
  content.erase("digest");
  const auto& stated = expect_string(json["digest"], source, "digest");
  const auto actual = digest(content.dump(2));
  if (stated != actual) {
    refuse(source, "digest", in_quotes(stated), actual + "; the manifest is damaged or was edited");
  }
  // White space and escapes that mean the same leave the digest as it is; damage is damage all the same.
  if (manifest.serialize() != text) {
    refuse(source, "manifest", "the form in which ganymede writes it",
           "another; the manifest is damaged or was edited");
  }
  return manifest;
}

}  // namespace ganymede
