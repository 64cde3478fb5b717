// A Qt object that classifies rows with TensorFlow Lite's C library (tensorflowlite_c); link Qt6::Core.
#pragma once

#include <QObject>
#include <QVector>

#include <memory>

struct TfLiteInterpreter;
struct TfLiteModel;

class QtClassifier : public QObject {
  Q_OBJECT

 public:
  explicit QtClassifier(QObject *parent = nullptr);
  ~QtClassifier() override;

  // False when the library refuses the model; then classify() emits failed() alone.
  bool isReady() const;

 public slots:
  // One row of raw features in the order of edge_feature_names.
  void classify(const QVector<float> &features);

 signals:
  void classified(const QString &label, float probability);
  void failed(const QString &reason);

 private:
  std::unique_ptr<TfLiteModel, void (*)(TfLiteModel *)> model_;
  std::unique_ptr<TfLiteInterpreter, void (*)(TfLiteInterpreter *)> interpreter_;
};
