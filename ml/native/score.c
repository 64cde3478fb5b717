/*
 * Scores one picture without Python, by the C library of TensorFlow that lies in its wheel.
 *
 *   score saved-model FOLDER PIXELS D1 D2 ...     (a SavedModel with the signature serving_default)
 *   score frozen-graph FILE PIXELS D1 D2 ...      (a frozen graph from `input` to `output_0`)
 *
 * PIXELS holds one picture as bytes, D1 D2 ... is its shape, such as 64 64 3. Prints a line for each number of the
 * output. Exits with 0, 1 when TensorFlow refuses something, 64 for wrong arguments.
 *
 * Build, with TF the folder of the package (python -c "import tensorflow; print(tensorflow.__path__[0])"):
 *   cc -O2 -o score score.c -I$TF/include -L$TF -l:libtensorflow_cc.so.2 -l:libtensorflow_framework.so.2 \
 *     -Wl,-rpath,$TF
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"

#define DIMS_MAX 6
/* A larger picture or model is refused: this program reads both whole. */
#define FILE_BYTES_MAX (256L << 20)

static void fail(int code, const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(code);
}

static void check(TF_Status *status, const char *what) {
  if (TF_GetCode(status) != TF_OK) fail(1, what, TF_Message(status));
}

static unsigned char *read_file(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) fail(1, path, "cannot be opened");
  if (fseek(file, 0, SEEK_END) != 0) fail(1, path, "is no plain file");
  long length = ftell(file);
  if (length <= 0 || length > FILE_BYTES_MAX) fail(1, path, "is empty or too large");
  rewind(file);
  unsigned char *bytes = malloc((size_t)length);
  if (bytes == NULL || fread(bytes, 1, (size_t)length, file) != (size_t)length) fail(1, path, "cannot be read");
  fclose(file);
  *size = (size_t)length;
  return bytes;
}

static TF_Output output_of(TF_Graph *graph, const char *name) {
  TF_Output found = {TF_GraphOperationByName(graph, name), 0};
  if (found.oper == NULL) fail(1, name, "is not in the graph");
  return found;
}

int main(int argc, char **argv) {
  if (argc < 5 || argc > 4 + DIMS_MAX) fail(64, "usage", "score saved-model|frozen-graph MODEL PIXELS D1 [D2 ...]");
  int saved_model = strcmp(argv[1], "saved-model") == 0;
  if (!saved_model && strcmp(argv[1], "frozen-graph") != 0) fail(64, argv[1], "is neither form of a model");

  int64_t shape[DIMS_MAX + 1] = {1};
  size_t count = 1;
  for (int i = 4; i < argc; i++) {
    char *end = NULL;
    long side = strtol(argv[i], &end, 10);
    if (*end != '\0' || side < 1 || side > 65536) fail(64, argv[i], "is no side of a picture");
    shape[i - 3] = side;
    count *= (size_t)side;
    if (count > FILE_BYTES_MAX) fail(64, "shape", "is too large");
  }
  size_t size = 0;
  unsigned char *pixels = read_file(argv[3], &size);
  if (size != count) fail(64, argv[3], "does not have as many bytes as the shape says");

  TF_Status *status = TF_NewStatus();
  TF_Graph *graph = TF_NewGraph();
  TF_SessionOptions *options = TF_NewSessionOptions();
  TF_Session *session = NULL;
  TF_Output input, output;
  if (saved_model) {
    const char *tags[] = {"serve"};
    session = TF_LoadSessionFromSavedModel(options, NULL, argv[2], tags, 1, graph, NULL, status);
    check(status, argv[2]);
    input = output_of(graph, "serving_default_input");
    output = output_of(graph, "StatefulPartitionedCall");
  } else {
    size_t bytes = 0;
    unsigned char *data = read_file(argv[2], &bytes);
    TF_Buffer *definition = TF_NewBufferFromString(data, bytes);
    TF_ImportGraphDefOptions *import = TF_NewImportGraphDefOptions();
    TF_GraphImportGraphDef(graph, definition, import, status);
    check(status, argv[2]);
    TF_DeleteImportGraphDefOptions(import);
    TF_DeleteBuffer(definition);
    free(data);
    session = TF_NewSession(graph, options, status);
    check(status, argv[2]);
    input = output_of(graph, "input");
    output = output_of(graph, "output_0");
  }

  TF_Tensor *value = TF_AllocateTensor(TF_FLOAT, shape, argc - 3, count * sizeof(float));
  float *floats = TF_TensorData(value);
  for (size_t i = 0; i < count; i++) floats[i] = (float)pixels[i];
  TF_Tensor *answer = NULL;
  TF_SessionRun(session, NULL, &input, &value, 1, &output, &answer, 1, NULL, 0, NULL, status);
  check(status, "run");
  if (TF_TensorType(answer) != TF_FLOAT) fail(1, "output", "is not float32");
  const float *scores = TF_TensorData(answer);
  size_t scores_count = TF_TensorByteSize(answer) / sizeof(float);
  for (size_t i = 0; i < scores_count; i++) printf("%.9g\n", scores[i]);

  TF_DeleteTensor(answer);
  TF_DeleteTensor(value);
  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  TF_DeleteSessionOptions(options);
  TF_DeleteGraph(graph);
  TF_DeleteStatus(status);
  free(pixels);
  return 0;
}
