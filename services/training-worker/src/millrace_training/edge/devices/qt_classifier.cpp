#include "qt_classifier.h"

#include "edge_preprocess.h"
#include "tensorflow/lite/c/c_api.h"

namespace {
TfLiteInterpreter *start(TfLiteModel *model) {
  if (model == nullptr) return nullptr;
  TfLiteInterpreterOptions *options = TfLiteInterpreterOptionsCreate();
  TfLiteInterpreterOptionsSetNumThreads(options, 1);
  TfLiteInterpreter *interpreter = TfLiteInterpreterCreate(model, options);
  TfLiteInterpreterOptionsDelete(options);
  if (interpreter == nullptr) return nullptr;
  if (TfLiteInterpreterAllocateTensors(interpreter) == kTfLiteOk) return interpreter;
  TfLiteInterpreterDelete(interpreter);
  return nullptr;
}
}  // namespace

// The model is compiled in (edge_model.c), so there is no file that could be another one.
QtClassifier::QtClassifier(QObject *parent)
    : QObject(parent),
      model_(TfLiteModelCreate(edge_model_data, EDGE_MODEL_BYTES), TfLiteModelDelete),
      interpreter_(start(model_.get()), TfLiteInterpreterDelete) {}

QtClassifier::~QtClassifier() = default;

bool QtClassifier::isReady() const { return interpreter_ != nullptr; }

void QtClassifier::classify(const QVector<float> &features) {
  if (!isReady()) return emit failed(tr("TensorFlow Lite refuses the model"));
  if (features.size() != EDGE_FEATURES)
    return emit failed(tr("%1 features instead of %2").arg(features.size()).arg(EDGE_FEATURES));
  int8_t input[EDGE_FEATURES];
  int8_t output[EDGE_CLASSES];
  edge_quantise(features.constData(), input);
  TfLiteTensor *source = TfLiteInterpreterGetInputTensor(interpreter_.get(), 0);
  const bool ran = TfLiteTensorCopyFromBuffer(source, input, sizeof input) == kTfLiteOk &&
                   TfLiteInterpreterInvoke(interpreter_.get()) == kTfLiteOk;
  const TfLiteTensor *target = TfLiteInterpreterGetOutputTensor(interpreter_.get(), 0);
  if (!ran || TfLiteTensorCopyToBuffer(target, output, sizeof output) != kTfLiteOk)
    return emit failed(tr("the inference failed"));
  const int label = edge_class(output);
  emit classified(QString::fromUtf8(edge_class_names[label]), edge_probability(output, label));
}
