// Reference program for ESP32-S3: ESP-IDF with the component esp-tflite-micro. It starts the model in the arena that the
// training measured, checks itself against answers that came with the model, then classifies a row a second.
//
// main/CMakeLists.txt: idf_component_register(SRCS "esp32s3_main.cc" "edge_model.c" INCLUDE_DIRS ".")
#include <cstdio>
#include <cstring>

#include "edge_preprocess.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace {
alignas(16) uint8_t arena[EDGE_ARENA_BYTES];

bool classify(tflite::MicroInterpreter &interpreter, const float *features, int8_t *output) {
  edge_quantise(features, interpreter.input(0)->data.int8);
  if (interpreter.Invoke() != kTfLiteOk) return false;
  std::memcpy(output, interpreter.output(0)->data.int8, EDGE_CLASSES);
  return true;
}

// Answers must be those of TensorFlow Lite Micro at the training, but for how kernels of this chip round.
bool selfTest(tflite::MicroInterpreter &interpreter) {
  for (int sample = 0; sample < EDGE_SAMPLES; ++sample) {
    int8_t output[EDGE_CLASSES];
    if (!classify(interpreter, edge_sample_features[sample], output)) return false;
    for (int i = 0; i < EDGE_CLASSES; ++i) {
      const int difference = output[i] - edge_sample_outputs[sample][i];
      if (difference < -EDGE_SAMPLE_TOLERANCE || difference > EDGE_SAMPLE_TOLERANCE) return false;
    }
  }
  return true;
}
}  // namespace

// Yours: fills in one row of raw features, in the order of edge_feature_names. Here the samples take turns.
static void readSensors(float *features) {
  static int next = 0;
  std::memcpy(features, edge_sample_features[next], sizeof edge_sample_features[next]);
  next = (next + 1) % EDGE_SAMPLES;
}

extern "C" void app_main() {
  const tflite::Model *model = tflite::GetModel(edge_model_data);
  tflite::MicroMutableOpResolver<EDGE_OPERATORS> resolver;
  EDGE_ADD_OPERATORS(resolver);
  tflite::MicroInterpreter interpreter(model, resolver, arena, sizeof arena);
  if (interpreter.AllocateTensors() != kTfLiteOk) {
    std::printf("the arena of %d bytes is too small\n", EDGE_ARENA_BYTES);
    return;
  }
  if (!selfTest(interpreter)) {
    std::printf("self test failed: the model does not answer as it was trained\n");
    return;
  }
  std::printf("model %s ready, %u of %d bytes of arena used\n", EDGE_MODEL_SHA256,
              static_cast<unsigned>(interpreter.arena_used_bytes()), EDGE_ARENA_BYTES);
  for (;;) {
    float features[EDGE_FEATURES];
    int8_t output[EDGE_CLASSES];
    readSensors(features);
    if (classify(interpreter, features, output)) {
      const int label = edge_class(output);
      std::printf("%s %.3f\n", edge_class_names[label], edge_probability(output, label));
    }
    vTaskDelay(pdMS_TO_TICKS(1000));
  }
}
