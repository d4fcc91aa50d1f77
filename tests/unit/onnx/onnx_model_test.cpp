// Exported models against ONNX's own checker and shape inference. (That they compute what our networks compute is for
// tests/interop/onnx_run.py to say, with ONNX Runtime.)
#include "onnx/onnx_model.hpp"

#include <gmock/gmock.h>
#include <onnx/checker.h>
#include <onnx/onnx_pb.h>
#include <onnx/shape_inference/implementation.h>

#include <functional>

#include "core/names.hpp"
#include "gan/gan.hpp"
#include "math/activation/activations.hpp"
#include "support/small_gan.hpp"

namespace ganymede::testing {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> names(const google::protobuf::RepeatedPtrField<onnx::ValueInfoProto>& values) {
  std::vector<std::string> result;
  for (const onnx::ValueInfoProto& value : values) result.push_back(value.name());
  return result;
}

// "batch,1,4,4"
std::string shape_of(const onnx::ValueInfoProto& value) {
  std::string text;
  for (const auto& axis : value.type().tensor_type().shape().dim())
    text += (text.empty() ? "" : ",") + (axis.has_dim_param() ? axis.dim_param() : std::to_string(axis.dim_value()));
  return text;
}

onnx::ModelProto checked(const std::string& bytes) {
  onnx::ModelProto model;
  EXPECT_TRUE(model.ParseFromString(bytes));
  EXPECT_NO_THROW(onnx::checker::check_model(model));
  // Strict: throws where a node's inputs do not fit, or where the outputs are not as declared.
  onnx::ModelProto inferred = model;
  EXPECT_NO_THROW(onnx::shape_inference::InferShapes(inferred, onnx::OpSchemaRegistry::Instance(), {true, 1, true}));
  return model;
}

struct Family {
  const char* name;
  std::function<void(TrainOptions&)> change;
  int channels;
};

class OnnxModels : public ::testing::TestWithParam<Family> {};

TEST_P(OnnxModels, AreValid) {
  TrainOptions options = small_options();
  GetParam().change(options);
  const std::unique_ptr<Device> device = make_cpu_device(1);
  const DataShape data{{small_side, small_side, GetParam().channels}, options.condition == "none" ? 0 : 3};
  const Gan gan = make_gan(options, data, *device);
  const std::string images = "batch," + std::to_string(data.image.channels) + ",4,4";

  const onnx::ModelProto g = checked(onnx_generator(gan.generator, data, {{"seed", "1"}, {"network", "generator"}}));
  if (data.classes > 0) {
    EXPECT_THAT(names(g.graph().input()), ElementsAre("z", "class"));
    EXPECT_EQ(shape_of(g.graph().input(1)), "batch");
  } else {
    EXPECT_THAT(names(g.graph().input()), ElementsAre("z"));
  }
  EXPECT_EQ(shape_of(g.graph().input(0)), "batch,3");
  EXPECT_THAT(names(g.graph().output()), ElementsAre("images"));
  EXPECT_EQ(shape_of(g.graph().output(0)), images);
  EXPECT_EQ(g.metadata_props_size(), 2);
  EXPECT_EQ(g.metadata_props(1).key(), "seed");

  const onnx::ModelProto d = checked(onnx_discriminator(gan.discriminator, data, {}));
  EXPECT_EQ(d.graph().input(0).name(), "images");
  EXPECT_EQ(shape_of(d.graph().input(0)), images);
  EXPECT_THAT(names(d.graph().output()), ElementsAre("logits"));
  EXPECT_EQ(shape_of(d.graph().output(0)), "batch");

  for (const onnx::ModelProto* model : {&g, &d})
    for (const onnx::NodeProto& node : model->graph().node())
      EXPECT_NE(node.op_type(), "BatchNormalization") << "it is to be folded into the layer before it";
}

INSTANTIATE_TEST_SUITE_P(Families, OnnxModels,
                         ::testing::Values(Family{"mlp", [](TrainOptions& /*o*/) {}, 1},
                                           Family{"mlp_channels", [](TrainOptions& /*o*/) {}, 2},
                                           Family{"mlp_projection",
                                                  [](TrainOptions& o) {
                                                    o.condition = "projection";
                                                    o.spectral_norm = true;
                                                    o.dropout = 0.5;
                                                  },
                                                  1},
                                           Family{"dcgan", change_to_small_dcgan, 1},
                                           Family{"modern",
                                                  [](TrainOptions& o) {
                                                    o.model = "modern";
                                                    o.channels = {2, 3};
                                                    o.kernel = 4;
                                                    o.condition = "concat";
                                                  },
                                                  3}),
                         [](const ::testing::TestParamInfo<Family>& info) { return std::string(info.param.name); });

// Of every activation that a network may have: the operators are a list of their own.
TEST(OnnxModel, EveryActivationHasAnOperator) {
  const std::unique_ptr<Device> device = make_cpu_device(1);
  for (const std::string& name : names_of<math::Activations>()) {
    SCOPED_TRACE(name + ": its operator belongs into src/onnx/onnx_model.cpp");
    TrainOptions options = small_options();
    options.generator_activation = options.discriminator_activation = name;
    options.r1 = 0;
    const DataShape data = DataShape::grey(small_side);
    const Gan gan = make_gan(options, data, *device);
    EXPECT_NO_THROW(checked(onnx_generator(gan.generator, data, {})));
    EXPECT_NO_THROW(checked(onnx_discriminator(gan.discriminator, data, {})));
  }
}

}  // namespace
}  // namespace ganymede::testing
