/* From raw features to the int8 input of the model and from its int8 output to a class; C99 and C++, no allocation.
 * Every step is float32 in the order of the training, so that a device computes the same bits. */
#ifndef EDGE_PREPROCESS_H
#define EDGE_PREPROCESS_H

#include <math.h>
#include <stdint.h>

#include "edge_model.h"

/* features: EDGE_FEATURES raw values, in the order of edge_feature_names; input: EDGE_FEATURES int8. */
static inline void edge_quantise(const float *features, int8_t *input) {
  for (int i = 0; i < EDGE_FEATURES; ++i) {
    const float difference = features[i] - edge_mean[i];
    const float standard = difference / edge_scale[i];
    const float scaled = rintf(standard / EDGE_INPUT_SCALE) + (float)EDGE_INPUT_ZERO_POINT;
    /* A NaN compares false with both bounds and must not reach the conversion. */
    input[i] = !(scaled > -128.0f) ? (int8_t)-128 : scaled < 127.0f ? (int8_t)scaled : (int8_t)127;
  }
}

/* Index of the most probable class; the first among equals. */
static inline int edge_class(const int8_t *output) {
  int best = 0;
  for (int i = 1; i < EDGE_CLASSES; ++i)
    if (output[i] > output[best]) best = i;
  return best;
}

static inline float edge_probability(const int8_t *output, int label) {
  return ((float)output[label] - (float)EDGE_OUTPUT_ZERO_POINT) * EDGE_OUTPUT_SCALE;
}

#endif
