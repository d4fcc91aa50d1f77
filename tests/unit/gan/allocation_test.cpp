// A step allocates nothing after the first: malloc and its kin are counted over the whole process.
#include <gtest/gtest.h>

#include <memory>

#include "gan/snapshot.hpp"
#include "gan/step.hpp"
#include "support/count_allocations.hpp"
#include "support/small_gan.hpp"

namespace ganymede::testing {
namespace {

// What was counted would be worth nothing if nothing could be.
TEST(Allocations, AreSeen) {
  struct Case {
    const char* name;
    void* (*make)();
  };
  const Case cases[] = {
      {"malloc", [] { return malloc(10); }},
      {"calloc", [] { return calloc(3, 10); }},
      {"realloc", [] { return realloc(nullptr, 10); }},
      {"aligned_alloc", [] { return aligned_alloc(64, 128); }},
      {"posix_memalign",
       [] {
         void* memory = nullptr;
         return posix_memalign(&memory, 64, 10) == 0 ? memory : nullptr;
       }},
      {"operator new", [] { return ::operator new(10); }},
      {"strdup, of the C library", [] { return static_cast<void*>(strdup("text")); }},
  };
  for (const Case& c : cases) {
    allocations::counting(true);
    void* volatile memory = c.make();
    allocations::counting(false);
    EXPECT_NE(memory, nullptr);
    const std::map<std::string, std::size_t> expected = {{"", 1}};
    EXPECT_EQ(allocations::by_owner(), expected) << c.name;
    free(memory);
  }
}

TEST(Step, AllocatesNothing) {
  const std::unique_ptr<Communicator> alone = make_local_communicator();
  const RandomImages images(60, 28, 3);
  for (const bool reproducible : {false, true})
    for (const int threads : {1, 2})
      for (const char* scheme : {"alternating", "simultaneous", "convolutions"}) {
        if (threads == 2 && std::string(scheme) == "simultaneous") continue;  // nothing new
        TrainOptions o;  // the default recipe (R1, average, 128-128), or with more of everything
        o.reproducible = reproducible;
        if (scheme == std::string("convolutions")) {
          change_to_small_dcgan(o);
        } else {
          o.scheme = scheme;
        }
        if (scheme == std::string("alternating")) {
          o.loss = "relativistic";
          o.gradient_penalty = o.r2 = 1;
          o.penalty_every = 2;
          o.d_burst = 2;
          o.d_burst_first = 1;
          o.d_burst_every = 3;
          o.micro_batch = 30;
        }
        if (scheme == std::string("simultaneous")) {
          o.spectral_norm = true;
          o.dropout = o.input_dropout = 0.25;
        }
        const std::unique_ptr<Device> device = make_cpu_device(threads);
        Gan gan = make_gan(o, images.set().shape(), *device);
        GanStep step(*device, *alone, gan, images.set(), o);
        GanSnapshot snapshot(gan);
        PhaseClock clock;  // as every training on a CPU has one
        step.measure(&clock);
        for (int i = 0; i < 6; ++i) step.run(false);  // one of each kind
        allocations::counting(true);
        for (int i = 0; i < 20; ++i) step.run(false);
        const bool stop = step.stop_agreed();
        const StepMeans means = step.take_means();
        snapshot.take();
        allocations::counting(false);
        EXPECT_EQ(allocations::seen.load(), 0U)
            << scheme << ", reproducible " << reproducible << ", threads " << threads;
        EXPECT_GT(clock.seconds(Phase::discriminator_backward), 0);
        EXPECT_FALSE(stop);
        EXPECT_GT(means.discriminator_loss, 0);
      }
}

}  // namespace
}  // namespace ganymede::testing
