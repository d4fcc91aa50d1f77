// `ganymede latent`
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "cli/commands.hpp"
#include "cli/eval_report.hpp"
#include "cli/recorded_run.hpp"
#include "cli/saved_generator.hpp"
#include "cli/train_arguments.hpp"
#include "cli/walks.hpp"
#include "core/files.hpp"
#include "core/numbers.hpp"
#include "eval/distances.hpp"
#include "eval/latent_directions.hpp"
#include "gan/sampler.hpp"
#include "ganymede/error.hpp"
#include "report/image_grid.hpp"
#include "report/run_folder.hpp"

namespace ganymede::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// Of latent.json, as docs/FORMATS.md describes it: raised when a member changes its meaning or goes.
constexpr int json_version = 1;
constexpr int nearest_shown = 7;

constexpr CountOption rows_option{"rows", 8, 1, 100};
constexpr CountOption steps_option{"steps", 11, 3, 101};
constexpr CountOption reach_option{"reach", 3, 1, 1000};

struct Request {
  std::string place;
  std::uint64_t seed = 0;
  int rows = 0;
  int steps = 0;
  double reach = 0;
  std::string data;  // empty: the run's own, if it says
  std::string out;   // empty: the run's samples
};

Request parse_request(const Parsed& parsed) {
  Request request;
  request.place = parsed.positional[0];
  request.seed = parse_seed(parsed);
  request.rows = static_cast<int>(rows_option.of(parsed));
  request.steps = static_cast<int>(steps_option.of(parsed));
  request.reach = static_cast<double>(reach_option.of(parsed));
  request.data = parsed.get("data", {});
  request.out = parsed.get("out", {});
  return request;
}

/// The generator of a run, and what is drawn of it.
class Explorer {
 public:
  Explorer(const Request& request, const SavedGenerator& saved, Device& device)
      : request_(request),
        shape_(saved.shape),
        generator_(load_generator(saved, device)),
        sampler_(generator_, saved.options, shape_.classes),
        latent_(static_cast<std::size_t>(generator_.inputs())),
        step_(saved.step),
        folder_(request.out.empty() ? RunFolder(request.place).samples() : fs::path(request.out)) {
    json_ = {{"format", "ganymede-latent"}, {"version", json_version}, {"source", saved.source},
             {"step", saved.step},          {"seed", request.seed},    {"pictures", Json::array()}};
  }

  /// Each row a walk from one sample to the next, whose class the whole row has.
  void draw_walks(bool spherical) {
    const std::string kind = spherical ? "spherical" : "linear";
    put("latent-" + kind,
        cli::draw_walks(sampler_, generator_, request_.seed, request_.rows, request_.steps, spherical), request_.steps,
        "Walks between samples, " + kind,
        "Each row goes from one latent vector to another, " +
            std::string(spherical ? "on the sphere that both lie near" : "straight") +
            (shape_.classes > 0 ? ", and keeps its class." : "."));
  }

  /// Each row one latent vector, told each class in turn.
  void draw_classes() {
    const std::vector<float> rows = sampler_.latents(request_.seed, math::Stream::noise_for_samples, 0, request_.rows);
    std::vector<float> z;
    std::vector<std::uint8_t> labels;
    for (int r = 0; r < request_.rows; ++r)
      for (int c = 0; c < shape_.classes; ++c) {
        const auto from = rows.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(r) * latent_);
        z.insert(z.end(), from, from + static_cast<std::ptrdiff_t>(latent_));
        labels.push_back(static_cast<std::uint8_t>(c));
      }
    put("latent-classes", draw(z, labels), shape_.classes, "Classes",
        "Each row is one latent vector, told each class in turn: what stays the same along a row is the style that z "
        "holds.");
  }

  /// Each row a walk through the first sample along a direction of z in which images change most.
  void draw_directions() {
    const std::vector<float> centre = sampler_.latents(request_.seed, math::Stream::noise_for_samples, 0, 1);
    const std::vector<double> jacobian = eval::latent_jacobian(
        [&](const std::vector<float>& z) {
          return draw(z, std::vector<std::uint8_t>(z.size() / latent_, class_of(0)));
        },
        centre);
    const eval::LatentDirections found = eval::leading_directions(jacobian, static_cast<int>(latent_), request_.rows);
    std::vector<float> z;
    std::string values;
    for (std::size_t k = 0; k < found.directions.size(); ++k) {
      for (int i = 0; i < request_.steps; ++i) {
        const double by = request_.reach * (2.0 * i / (request_.steps - 1) - 1);
        for (std::size_t j = 0; j < latent_; ++j)
          z.push_back(static_cast<float>(centre[j] + by * found.directions[k][j]));
      }
      const double value = found.singular_values[k];
      values += (k == 0 ? "" : ", ") + formatted("%.3f", value);
      std::printf("direction %2zu   singular value %7.3f   %5.1f %% of all change\n", k + 1, value,
                  100 * value * value / found.squares);
    }
    json_["directions"] = {{"singular_values", found.singular_values}, {"squares_of_all", found.squares}};
    put("latent-directions", draw(z, std::vector<std::uint8_t>(z.size() / latent_, class_of(0))), request_.steps,
        "Directions in which images change most",
        "Each row walks through one sample, in the middle, along a leading right singular vector of G's Jacobian "
        "there, "
        "from " +
            formatted("-%.0f to %.0f", request_.reach, request_.reach) + ". Singular values, from the top: " + values +
            ".");
  }

  /// Each row a sample and the training images that are nearest to it.
  void draw_neighbours(const Dataset& data, Device& device) {
    const ImageSet& train = data.train();
    const auto pixels = static_cast<std::size_t>(train.pixels());
    const std::vector<float> samples =
        sampler_.draw(generator_.parameter_array(), request_.seed, math::Stream::noise_for_samples, 0, request_.rows);
    std::vector<std::uint8_t> bytes(samples.size());
    std::transform(samples.begin(), samples.end(), bytes.begin(), grey_level);
    const eval::PixelBlock rows(bytes, train.pixels());
    eval::Distances distances(device);
    std::vector<std::vector<std::int32_t>> found(static_cast<std::size_t>(request_.rows));
    for (const eval::PixelBlock& block : eval::pixel_blocks(train)) {
      const std::int32_t* d = distances.between(rows, block);
      for (std::vector<std::int32_t>& row : found) {
        row.insert(row.end(), d, d + block.count());
        d += block.count();
      }
    }
    const int nearest = static_cast<int>(std::min<std::uint32_t>(nearest_shown, train.count));
    std::vector<float> images;
    for (std::size_t r = 0; r < found.size(); ++r) {
      images.insert(images.end(), samples.begin() + static_cast<std::ptrdiff_t>(r * pixels),
                    samples.begin() + static_cast<std::ptrdiff_t>((r + 1) * pixels));
      std::vector<std::uint32_t> order(train.count);
      std::iota(order.begin(), order.end(), 0U);
      std::partial_sort(order.begin(), order.begin() + nearest, order.end(), [&](std::uint32_t a, std::uint32_t b) {
        return std::pair(found[r][a], a) < std::pair(found[r][b], b);
      });
      for (int i = 0; i < nearest; ++i)
        for (const std::uint8_t value : train.images.subspan(order[static_cast<std::size_t>(i)] * pixels, pixels))
          images.push_back(static_cast<float>(value) / 255.0F);
    }
    put("latent-neighbours", images, 1 + nearest, "Nearest training images",
        "Each row begins with a sample; the images of " + data.name() +
            "'s training set follow that are nearest to it, by the distance between pixels.");
  }

  /// Of an earlier call: beside this one's pictures it would be taken for one of them.
  void leave_out(const std::string& name) const {
    const fs::path file = folder_ / (name + ".png");
    std::error_code error;
    fs::remove(file, error);
    if (error) throw Error(ExitCode::data, "an earlier " + file.string() + " cannot be removed: " + error.message());
  }

  void write_json() const {
    write_file_atomically(folder_ / RunFolder(request_.place).latent().filename(),
                          json_.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  }
  [[nodiscard]] const DataShape& shape() const { return shape_; }

 private:
  [[nodiscard]] std::uint8_t class_of(int sample) const {
    return static_cast<std::uint8_t>(sampler_.class_of(static_cast<std::uint64_t>(sample)));
  }
  std::vector<float> draw(const std::vector<float>& z, const std::vector<std::uint8_t>& labels) {
    return sampler_.images(generator_.parameter_array(), z, labels);
  }
  void put(const std::string& name, const std::vector<float>& images, int columns, const std::string& title,
           const std::string& text) {
    const fs::path file = folder_ / (name + ".png");
    const int count = static_cast<int>(images.size() / static_cast<std::size_t>(shape_.image.size()));
    write_png_grid(file, images, count, shape_.image, columns,
                   {{"step", std::to_string(step_)},
                    {"seed", std::to_string(request_.seed)},
                    {"title", title},
                    {"description", text}});
    json_["pictures"].push_back({{"file", name + ".png"}, {"title", title}, {"text", text}});
    std::printf("%s\n", file.c_str());
  }

  const Request& request_;
  DataShape shape_;
  Network generator_;
  Sampler sampler_;
  std::size_t latent_;
  std::uint64_t step_;
  fs::path folder_;
  Json json_;
};

// Why no training images can be looked for; empty when they can.
std::string neighbours_obstacle(const DataShape& shape, const Dataset& data) {
  if (shape.image.channels > 1) return "samples show several digits at a time (--stack), and training images one";
  const auto size = [](int height, int width) { return std::to_string(height) + "×" + std::to_string(width); };
  if (shape.image.height != data.train().height || shape.image.width != data.train().width)
    return "samples are of " + size(shape.image.height, shape.image.width) + ", and images of " + data.name() + " of " +
           size(data.train().height, data.train().width);
  return {};
}

int run(const Parsed& parsed, Communicator& ranks) {
  // A matter of seconds for one rank; the others wait.
  on_root(ranks, [&] {
    Request request = parse_request(parsed);
    const bool data_given = !request.data.empty();
    const SavedGenerator saved = read_saved_generator(request.place);
    const std::unique_ptr<Device> device = make_cpu_device(1);
    Explorer explorer(request, saved, *device);
    // Before anything is drawn: it may be refused.
    const std::unique_ptr<Communicator> alone = make_local_communicator();
    std::optional<Dataset> data;
    std::string missing;  // why there are no neighbours
    try {
      if (!data_given) request.data = recorded_data(request.place);
      if (request.data.empty())
        missing = request.place + " does not say what it was trained on: add --data";
      else
        missing = neighbours_obstacle(explorer.shape(), data.emplace(Dataset::open(request.data, {}, *alone)));
    } catch (const Error& failure) {
      if (data_given) throw;
      missing = failure.what();
    }
    if (data_given && !missing.empty())
      throw Error(ExitCode::usage, "--data " + request.data + " shows no nearest training images: " + missing);
    if (request.out.empty() && !fs::is_directory(RunFolder(request.place).samples()))
      throw Error(ExitCode::usage, request.place + " is no run's folder to put pictures into: add --out FOLDER");
    if (!request.out.empty()) make_folders(request.out);
    explorer.draw_walks(true);
    explorer.draw_walks(false);
    if (explorer.shape().classes > 0)
      explorer.draw_classes();
    else
      explorer.leave_out("latent-classes");
    explorer.draw_directions();
    if (missing.empty()) {
      explorer.draw_neighbours(*data, *device);
    } else {
      explorer.leave_out("latent-neighbours");
      std::fprintf(stderr, "ganymede: warning: no nearest training images: %s\n", missing.c_str());
    }
    explorer.write_json();
  });
  return 0;
}

}  // namespace

Command latent_command() {
  return {{"latent",
           "Draws what a run's generator has made of its latent space: walks, classes, directions, neighbours.",
           "RUN",
           {rows_option.argument("of each picture: latent vectors, and directions"),
            steps_option.argument("images of a walk"),
            reach_option.argument("how far walks along directions go to either side"),
            seed_argument("of z; `ganymede sample` draws the same images from it"),
            {"data", "NAME|DIR", "whose training images are looked for beside samples", "Options", "the run's own"},
            {"out", "FOLDER", "where the pictures go; `ganymede report RUN` shows those in their default place",
             "Options", "RUN/samples"}}},
          run};
}

}  // namespace ganymede::cli
