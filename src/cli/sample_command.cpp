// `ganymede sample`
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "cli/commands.hpp"
#include "cli/file_ending.hpp"
#include "cli/saved_generator.hpp"
#include "cli/train_arguments.hpp"
#include "cli/walks.hpp"
#include "gan/sampler.hpp"
#include "ganymede/error.hpp"
#include "report/image_grid.hpp"

namespace ganymede::cli {
namespace {

// By default.
constexpr int usual_images = 64;
constexpr int usual_rows = 8;

// The class that is asked for, if any.
std::optional<int> only_class(const Parsed& parsed, int classes, const std::string& source) {
  if (!parsed.has("class")) return std::nullopt;
  if (classes == 0)
    throw Error(ExitCode::usage, source + " was trained without classes: leave --class out, or train with --condition");
  return static_cast<int>(parse_count(parsed, "class", 0, 0, classes - 1));
}

int run(const Parsed& parsed, Communicator& ranks) {
  on_root(ranks, [&] {
    constexpr int most_images = 100'000;
    const auto steps = static_cast<int>(parse_count(parsed, "interpolate", 0, 2, 1000));
    const auto count =
        static_cast<int>(parse_count(parsed, "count", steps > 0 ? usual_rows : usual_images, 1, most_images));
    if (count > most_images / std::max(steps, 1))
      throw Error(ExitCode::usage, std::to_string(count) + " rows of --interpolate " + std::to_string(steps) +
                                       " are more than the " + std::to_string(most_images) +
                                       " images that one picture may hold: lower --count");
    const std::uint64_t seed = parse_seed(parsed);
    const std::string out = parsed.get("out", "samples.png");
    refuse_other_ending(out, "PNG", {".png"});
    const SavedGenerator saved = read_saved_generator(parsed.positional[0]);
    const int classes = saved.shape.classes;
    const std::optional<int> only = only_class(parsed, classes, saved.source);
    const std::unique_ptr<Device> device = make_cpu_device(1);
    Network generator = load_generator(saved, *device);
    Sampler sampler(generator, saved.options, classes);

    std::vector<float> images;
    int columns = grid_columns(count, only ? 0 : classes);
    int drawn = count;
    if (steps > 0) {
      images = draw_walks(sampler, generator, seed, count, steps, saved.options.latent_distribution == "normal", only);
      columns = steps;
      drawn = count * steps;
    } else {
      images = sampler.draw(generator.parameter_array(), seed, math::Stream::noise_for_samples, 0, count, only);
    }
    write_png_grid(out, images, drawn, saved.shape.image, columns,
                   {{"step", std::to_string(saved.step)}, {"seed", std::to_string(seed)}});
    // Not into the file itself, should that be the standard output.
    std::fprintf(std::filesystem::is_regular_file(out) ? stdout : stderr, "%d %s from %s (step %llu) in %s\n", drawn,
                 drawn == 1 ? "image" : "images", saved.source.c_str(), static_cast<unsigned long long>(saved.step),
                 out.c_str());
  });
  return 0;
}

}  // namespace

Command sample_command() {
  return {{"sample",
           "Draws images from a run, a checkpoint or a weights file into a PNG grid.",
           "RUN",
           {{"count", "N", "images; with --interpolate, rows", "Options",
             std::to_string(usual_images) + ", or " + std::to_string(usual_rows) + " rows"},
            seed_argument("of z; the same seed draws the same images"),
            {"class", "N", "of all images, where the run has classes", "Options", "the classes in turn"},
            {"interpolate", "N",
             "rows of N images, each row a walk (spherical, for normal z) from one sample to the next", "Options"},
            {"out", "FILE.png", "the picture", "Options", "samples.png"}}},
          run};
}

}  // namespace ganymede::cli
