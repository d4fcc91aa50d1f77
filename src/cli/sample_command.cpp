// `ganymede sample`
#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "cli/commands.hpp"
#include "cli/saved_run.hpp"
#include "gan/gan.hpp"
#include "gan/sampler.hpp"
#include "ganymede/error.hpp"
#include "report/image_grid.hpp"

namespace ganymede::cli {
namespace {

// Spherical interpolation (Shoemake 1985) between two latent vectors: normal vectors lie near a sphere, and
// a straight line between two of them would leave it.
void interpolate(const float* a, const float* b, std::size_t size, double t, float* to) {
  double dot = 0;
  double aa = 0;
  double bb = 0;
  for (std::size_t i = 0; i < size; ++i) {
    dot += double{a[i]} * b[i];
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
  }
  const double angle = std::acos(std::clamp(dot / std::sqrt(aa * bb), -1.0, 1.0));
  const double s = std::sin(angle);
  const double wa = s < 1e-6 ? 1 - t : std::sin((1 - t) * angle) / s;
  const double wb = s < 1e-6 ? t : std::sin(t * angle) / s;
  for (std::size_t i = 0; i < size; ++i) to[i] = static_cast<float>(wa * a[i] + wb * b[i]);
}

// A PNG under the name of another kind of picture would be found out by the next program alone.
void refuse_other_pictures(const std::filesystem::path& out) {
  std::string ending = out.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const char* other : {".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".svg", ".pdf", ".ppm", ".pgm"})
    if (ending == other)
      throw Error(ExitCode::usage, "--out " + out.string() +
                                       " names another kind of picture than the PNG that is written: "
                                       "let it end in .png");
}

int run(const Parsed& parsed, Communicator& ranks) {
  on_root(ranks, [&] {
    constexpr int most_images = 100'000;
    const auto steps = static_cast<int>(parse_count(parsed, "interpolate", 0, 2, 1000));
    const auto count = static_cast<int>(parse_count(parsed, "count", steps > 0 ? 8 : 64, 1, most_images));
    if (count > most_images / std::max(steps, 1))
      throw Error(ExitCode::usage, std::to_string(count) + " rows of --interpolate " + std::to_string(steps) +
                                       " are more than the " + std::to_string(most_images) +
                                       " images that one picture may hold: lower --count");
    // A seed is what it is for a training.
    TrainOptions seeded;
    if (parsed.has("seed")) set_train_option(seeded, "seed", parsed.values.at("seed"));
    const std::uint64_t seed = seeded.seed;
    const std::string out = parsed.get("out", "samples.png");
    refuse_other_pictures(out);
    const SavedRun saved = read_saved_run(parsed.positional[0]);
    warn_of_refused(saved);
    const TrainOptions options = saved_options(saved);
    const TensorFile& weights = picture_weights(saved);
    const int side = image_side(saved);
    const std::unique_ptr<Device> device = make_cpu_device(1);
    Network generator = make_generator(options, side, *device);
    generator.load(weights, saved.source.string());
    Sampler sampler(generator);

    std::vector<float> images;
    int columns = static_cast<int>(std::ceil(std::sqrt(static_cast<double>(count))));
    int drawn = count;
    if (steps > 0) {
      // Row r goes from sample r to sample r+1.
      const auto latent = static_cast<std::size_t>(generator.inputs());
      const std::vector<float> ends = sampler.latents(seed, math::Stream::noise_for_samples, 0, count + 1);
      std::vector<float> z(static_cast<std::size_t>(count) * static_cast<std::size_t>(steps) * latent);
      for (int r = 0; r < count; ++r)
        for (int i = 0; i < steps; ++i)
          interpolate(
              ends.data() + static_cast<std::size_t>(r) * latent,
              ends.data() + static_cast<std::size_t>(r + 1) * latent, latent, static_cast<double>(i) / (steps - 1),
              z.data() + (static_cast<std::size_t>(r) * static_cast<std::size_t>(steps) + static_cast<std::size_t>(i)) *
                             latent);
      images = sampler.images(generator.parameter_array(), z);
      columns = steps;
      drawn = count * steps;
    } else {
      images = sampler.draw(generator.parameter_array(), seed, math::Stream::noise_for_samples, 0, count);
    }
    write_png_grid(out, images, drawn, side, side, columns,
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
           {{"count", "N", "images; with --interpolate, rows", "Options", "64, or 8 rows"},
            {"seed", "N", "of z; the same seed draws the same images", "Options", "1"},
            {"interpolate", "N", "rows of N images, each row a spherical walk from one sample to the next", "Options"},
            {"out", "FILE.png", "the picture", "Options", "samples.png"}}},
          run};
}

}  // namespace ganymede::cli
