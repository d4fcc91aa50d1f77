// What each operation of the device would read, write and compute: see operations.hpp for what counts. Small arguments
// (labels, statistics of a channel, single numbers) do not.
#include <string>

#include "device/counting_device.hpp"

namespace ganymede {
namespace {

double product(double a, double b, double c = 1) { return a * b * c; }

std::string text(double count) { return std::to_string(static_cast<long long>(count)); }
std::string matrix(double rows, double columns) { return text(rows) + " × " + text(columns); }
std::string affine_shape(int rows, int in, int out) { return matrix(rows, in) + " → " + text(out); }

std::string grid(int height, int width, int channels) {
  return text(height) + " × " + text(width) + " × " + text(channels);
}
std::string convolution_shape(const Convolution& c, int rows, bool to_coarse) {
  const std::string fine = grid(c.fine_height, c.fine_width, c.fine_channels);
  const std::string coarse = grid(c.coarse_height, c.coarse_width, c.coarse_channels);
  return text(rows) + " × " + (to_coarse ? fine + " → " + coarse : coarse + " → " + fine) + ", " + text(c.kernel) +
         "² by " + text(c.stride);
}
double weights(const Convolution& c) { return product(c.coarse_channels, c.filter()); }
double convolution_flops(const Convolution& c, int rows) { return 2 * product(rows, c.coarse_size(), c.filter()); }

// A sum is written; one that is added to is read before. Fixed-point numbers are twice as long.
double numbers(const SumTarget& target, double count, bool accumulate) {
  if (!target.wanted()) return 0;
  return count * (accumulate ? 2 : 1) * (target.exact() ? 2 : 1);
}

}  // namespace

void CountingDevice::note(const char* name, std::string shape, double flops, double numbers) {
  operations_.push_back({part_, name, std::move(shape), flops, sizeof(float) * numbers});
}

// --- memory ---------------------------------------------------------------------------------------------
void CountingDevice::upload(void* /*to_device*/, const void* /*from_host*/, std::size_t bytes) {
  note("copy to the device", text(static_cast<double>(bytes)) + " bytes", 0, static_cast<double>(bytes) / 4);
}
void CountingDevice::download(void* /*to_host*/, const void* /*from_device*/, std::size_t bytes) {
  note("copy from the device", text(static_cast<double>(bytes)) + " bytes", 0, static_cast<double>(bytes) / 4);
}
void CountingDevice::fetch(void* to_host, const void* from_device, std::size_t bytes) {
  download(to_host, from_device, bytes);
}
void CountingDevice::copy(void* /*to*/, const void* /*from*/, std::size_t bytes) {
  note("copy", text(static_cast<double>(bytes)) + " bytes", 0, static_cast<double>(bytes) / 2);
}
void CountingDevice::zero(void* /*pointer*/, std::size_t bytes) {
  note("clear", text(static_cast<double>(bytes)) + " bytes", 0, static_cast<double>(bytes) / 4);
}

// --- rounding -----------------------------------------------------------------------------------------------
void CountingDevice::round(std::size_t count, const float* /*from*/, Bfloat16* /*to*/) {
  note("rounded weights", text(static_cast<double>(count)), 0, 1.5 * static_cast<double>(count));
}

// --- fully connected layers ---------------------------------------------------------------------------------
void CountingDevice::affine_forward(int rows, int in, int out, const float* /*x*/, const float* /*w*/, const float* b,
                                    Activation /*sigma*/, float* /*y*/, const Rounded& /*rounded*/) {
  note("layer", affine_shape(rows, in, out), 2 * product(rows, in, out),
       product(rows, in) + product(in, out) + (b == nullptr ? 0 : out) + product(rows, out));
}
void CountingDevice::affine_tangent(int rows, int in, int out, const float* /*tx*/, const float* /*w*/,
                                    Activation sigma, const float* /*y*/, float* /*ty*/, const Rounded& /*rounded*/) {
  note("layer, tangent", affine_shape(rows, in, out), 2 * product(rows, in, out),
       product(rows, in) + product(in, out) + product(rows, out) * (sigma.is_identity() ? 1 : 2));
}
void CountingDevice::affine_backward_data(int rows, int in, int out, const float* /*delta*/, const float* /*w*/,
                                          Activation below, const float* /*x*/, float* /*delta_in*/,
                                          const Rounded& /*rounded*/) {
  note("layer, data gradient", affine_shape(rows, out, in), 2 * product(rows, in, out),
       product(rows, out) + product(in, out) + product(rows, in) * (below.is_identity() ? 1 : 2));
}
void CountingDevice::affine_gradients(const BatchLayout& layout, int in, int out, const float* /*x*/,
                                      const float* /*delta*/, const float* row_scale, bool accumulate, SumTarget dw,
                                      SumTarget db, const Rounded& /*rounded*/) {
  const int rows = layout.total_rows();
  note("layer, weight gradient", text(out) + " × " + matrix(rows, in), dw.wanted() ? 2 * product(rows, in, out) : 0,
       product(rows, in) + product(rows, out) + (row_scale == nullptr ? 0 : rows) +
           numbers(dw, product(in, out), accumulate) + numbers(db, out, accumulate));
}

// --- convolutions -------------------------------------------------------------------------------------------
void CountingDevice::convolve(const Convolution& geometry, int rows, const float* /*fine*/, const float* /*w*/,
                              const Finish& finish, float* /*coarse*/, const Rounded& /*rounded*/) {
  note("convolution", convolution_shape(geometry, rows, true), convolution_flops(geometry, rows),
       product(rows, geometry.fine_size()) + weights(geometry) +
           product(rows, geometry.coarse_size()) * (finish.slope_of == nullptr ? 1 : 2));
}
void CountingDevice::convolve_transposed(const Convolution& geometry, int rows, const float* /*coarse*/,
                                         const float* /*w*/, const Finish& finish, float* /*fine*/,
                                         const Rounded& /*rounded*/) {
  note("transposed convolution", convolution_shape(geometry, rows, false), convolution_flops(geometry, rows),
       product(rows, geometry.coarse_size()) + weights(geometry) +
           product(rows, geometry.fine_size()) * (finish.slope_of == nullptr ? 1 : 2));
}
void CountingDevice::convolution_gradients(const BatchLayout& layout, const Convolution& geometry,
                                           const float* /*fine*/, const float* /*coarse*/, bool accumulate,
                                           SumTarget dw, const Rounded& /*rounded*/) {
  const int rows = layout.total_rows();
  note("convolution, weight gradient", convolution_shape(geometry, rows, true), convolution_flops(geometry, rows),
       product(rows, geometry.fine_size()) + product(rows, geometry.coarse_size()) +
           numbers(dw, weights(geometry), accumulate));
}
void CountingDevice::channel_gradients(const BatchLayout& layout, int pixels, int channels, const float* /*delta*/,
                                       const float* /*row_scale*/, bool accumulate, SumTarget db) {
  const double rows = product(layout.total_rows(), pixels);
  note("bias gradient", matrix(rows, channels), 0, product(rows, channels) + numbers(db, channels, accumulate));
}

// --- batch normalisation ------------------------------------------------------------------------------------
void CountingDevice::batch_norm_moments(const BatchLayout& layout, const BatchNorm& norm, const float* /*x*/,
                                        std::int64_t* /*sums*/) {
  const double rows = product(layout.total_rows(), norm.pixels);
  note("batch norm, moments", matrix(rows, norm.channels), 0, product(rows, norm.channels));
}
void CountingDevice::batch_norm_statistics(int parts, const BatchNorm& norm, const std::int64_t* /*moments*/,
                                           float* /*statistics*/, float* /*running*/) {
  note("batch norm, statistics", matrix(2 * parts, norm.channels), 0, 6 * product(parts, norm.channels));
}
void CountingDevice::batch_norm_frozen(const BatchNorm& norm, const float* /*running*/, float* /*statistics*/) {
  note("batch norm, running statistics", matrix(2, norm.channels), 0, 4 * norm.channels);
}
void CountingDevice::batch_norm_forward(const BatchLayout& layout, const BatchNorm& norm, const float* /*x*/,
                                        const float* /*statistics*/, const float* /*gamma*/, const float* /*beta*/,
                                        Activation /*sigma*/, float* /*y*/) {
  const double rows = product(layout.total_rows(), norm.pixels);
  note("batch norm", matrix(rows, norm.channels), 0, 2 * product(rows, norm.channels));
}
void CountingDevice::batch_norm_adjoints(const BatchLayout& layout, const BatchNorm& norm, const float* /*x*/,
                                         const float* /*delta*/, const float* /*statistics*/, std::int64_t* /*sums*/) {
  const double rows = product(layout.total_rows(), norm.pixels);
  note("batch norm, adjoints", matrix(rows, norm.channels), 0, 2 * product(rows, norm.channels));
}
void CountingDevice::batch_norm_gradients(int parts, const BatchNorm& norm, const std::int64_t* /*adjoints*/,
                                          bool accumulate, SumTarget dgamma, SumTarget dbeta) {
  note("batch norm, gradients", matrix(parts, norm.channels), 0,
       4 * product(parts, norm.channels) + numbers(dgamma, norm.channels, accumulate) +
           numbers(dbeta, norm.channels, accumulate));
}
void CountingDevice::batch_norm_backward_data(const BatchLayout& layout, const BatchNorm& norm, const float* /*x*/,
                                              const float* /*delta*/, const float* /*statistics*/,
                                              const float* /*gamma*/, const std::int64_t* /*adjoints*/,
                                              Activation /*below*/, float* /*delta_in*/) {
  const double rows = product(layout.total_rows(), norm.pixels);
  note("batch norm, data gradient", matrix(rows, norm.channels), 0, 3 * product(rows, norm.channels));
}

// --- spectral normalisation ---------------------------------------------------------------------------------
void CountingDevice::spectral_iteration(const SpectralMatrix& m) {
  note("power iteration", matrix(m.rows, m.columns), 4 * product(m.rows, m.columns), 2 * product(m.rows, m.columns));
}
void CountingDevice::spectral_normalise(const SpectralMatrix& m) {
  note("spectral norm", matrix(m.rows, m.columns), 2 * product(m.rows, m.columns), 3 * product(m.rows, m.columns));
}
void CountingDevice::spectral_gradient(const SpectralMatrix& m, const float* /*g*/, float* /*to*/) {
  note("spectral norm, gradient", matrix(m.rows, m.columns), 2 * product(m.rows, m.columns),
       4 * product(m.rows, m.columns));
}

// --- classes and dropout ------------------------------------------------------------------------------------
void CountingDevice::append_class(int rows, int pixels, int channels, int classes, const std::uint8_t* /*labels*/,
                                  const float* /*x*/, float* /*y*/) {
  note("appended classes", matrix(product(rows, pixels), channels + classes), 0,
       product(rows, pixels, 2 * channels + classes));
}
void CountingDevice::append_class_backward(int rows, int pixels, int channels, int classes, const float* /*delta*/,
                                           Activation below, const float* /*x*/, float* /*delta_in*/) {
  note("appended classes, data gradient", matrix(product(rows, pixels), channels + classes), 0,
       product(rows, pixels, (below.is_identity() ? 2 : 3) * channels));
}
void CountingDevice::class_score(int rows, int classes, const std::uint8_t* /*labels*/, const float* /*x*/,
                                 float* /*y*/) {
  note("scores of classes", matrix(rows, 1 + classes), 0, 3 * rows);
}
void CountingDevice::class_score_backward(int rows, int classes, const std::uint8_t* /*labels*/, const float* /*delta*/,
                                          float* /*delta_in*/) {
  note("scores of classes, data gradient", matrix(rows, 1 + classes), 0, product(rows, 2 + classes));
}
void CountingDevice::draw_mask(const MaskDraw& /*draw*/, int rows, int columns, double /*share*/,
                               std::uint8_t* /*mask*/) {
  note("dropout's mask", matrix(rows, columns), 0, product(rows, columns) / 4);
}
void CountingDevice::apply_mask(std::size_t count, const std::uint8_t* /*mask*/, float /*factor*/,
                                const float* /*from*/, Activation below, const float* /*x*/, float* /*to*/) {
  const auto all = static_cast<double>(count);
  note("dropout", text(all), 0, all * ((below.is_identity() ? 2 : 3) + .25));
}

// --- losses and penalties -----------------------------------------------------------------------------------
void CountingDevice::discriminator_loss(GanLoss /*loss*/, const BatchLayout& layout, PenaltyParts /*penalised*/,
                                        const float* /*logits*/, float /*scale*/, float* /*seed*/, float* row_scale,
                                        bool /*accumulate*/, SumTarget /*sums*/) {
  note("D's loss", matrix(layout.total_rows(), 1), 0, layout.total_rows() * (row_scale == nullptr ? 2 : 3));
}
void CountingDevice::generator_loss(GanLoss /*loss*/, const BatchLayout& layout, const float* /*logits*/,
                                    float /*scale*/, float* /*seed*/, bool /*accumulate*/, SumTarget /*sums*/) {
  note("G's loss", matrix(layout.total_rows(), 1), 0, 2 * layout.total_rows());
}
void CountingDevice::gradient_penalty(int /*penalty*/, const BatchLayout& layout, int columns, const float* /*g*/,
                                      float /*coefficient*/, float* /*v*/, SumTarget /*value*/) {
  note("penalty", matrix(layout.rows, columns), 0, 2 * product(layout.rows, columns));
}
void CountingDevice::combine_rows(int rows, int columns, const float* /*scale*/, const float* /*t*/, float* /*h*/) {
  note("penalty and loss joined", matrix(rows, columns), 0, 3 * product(rows, columns));
}

// --- optimisers ---------------------------------------------------------------------------------------------
void CountingDevice::from_fixed_point(std::size_t count, const std::int64_t* /*from*/, const std::int64_t* /*overflow*/,
                                      float* /*to*/) {
  note("from fixed point", text(static_cast<double>(count)), 0, 3 * static_cast<double>(count));
}
void CountingDevice::add_to(std::size_t count, const float* /*from*/, double* /*to*/) {
  note("running sums", text(static_cast<double>(count)), 0, 5 * static_cast<double>(count));
}
void CountingDevice::sum_of_squares(std::size_t count, const float* /*x*/, double* /*result*/) {
  note("gradient's norm", text(static_cast<double>(count)), 0, static_cast<double>(count));
}
void CountingDevice::optimizer_update(const OptimizerUpdate& args) {
  double streams = 1 + 2;  // the gradient; parameters there and back
  for (const float* state : args.state) streams += state == nullptr ? 0 : 2;
  if (args.average.values != nullptr) streams += 2;
  note("optimiser", text(static_cast<double>(args.count)), 0, streams * static_cast<double>(args.count));
}
void CountingDevice::end_step(const StepEnd& args) {
  const double sums = args.discriminator_count + args.generator_count;
  note("end of the step", text(sums), 0, 5 * sums);
}
void CountingDevice::flag_to_sum(const std::uint32_t* /*flag*/, SumTarget /*to*/) { note("stop flag", "1", 0, 2); }

// --- draws --------------------------------------------------------------------------------------------------
void CountingDevice::draw_normal(std::uint64_t /*seed*/, std::uint32_t /*stream*/, StepCount /*first*/, int rows,
                                 int columns, float* /*out*/) {
  note("normal draws", matrix(rows, columns), 0, product(rows, columns));
}
void CountingDevice::draw_uniform(std::uint64_t /*seed*/, std::uint32_t /*stream*/, StepCount /*first*/, int rows,
                                  int columns, float* /*out*/) {
  note("uniform draws", matrix(rows, columns), 0, product(rows, columns));
}
void CountingDevice::add_noise(std::uint64_t /*seed*/, std::uint32_t /*stream*/, StepCount /*first*/,
                               const FallingDeviation& /*deviation*/, int rows, int columns, const float* /*x*/,
                               float* /*out*/) {
  note("instance noise", matrix(rows, columns), 0, 2 * product(rows, columns));
}
void CountingDevice::interpolate(std::uint64_t /*seed*/, std::uint32_t /*stream*/, StepCount /*first*/, int rows,
                                 int columns, const float* /*a*/, const float* /*b*/, float* /*out*/) {
  note("points between images", matrix(rows, columns), 0, 3 * product(rows, columns));
}
void CountingDevice::gather_images(std::uint64_t /*seed*/, StepCount /*first*/, const std::uint8_t* /*images*/,
                                   std::uint32_t /*image_count*/, int rows, int pixels, int channels, float* /*out*/) {
  note("images", matrix(rows, product(pixels, channels)), 0, product(rows, pixels, channels) * 1.25);
}
void CountingDevice::gather_labels(std::uint64_t /*seed*/, StepCount /*first*/, const std::uint8_t* /*labels*/,
                                   std::uint32_t /*image_count*/, int rows, std::uint8_t* /*out*/) {
  note("labels", text(rows), 0, rows / 2.0);
}

}  // namespace ganymede
