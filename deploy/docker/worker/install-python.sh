# install-python.sh LOCK: makes /opt/venv of exactly the packages of a hash-pinned lock, compiled, without what is never run.
set -eu
if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi
if [ -d /from/wheels ]; then export UV_FIND_LINKS=/from/wheels; fi
/tools/bin/uv venv --no-project --python /usr/bin/python3 /opt/venv
/tools/bin/uv pip sync --require-hashes --python /opt/venv/bin/python "$1"
packages=$(echo /opt/venv/lib/python3*/site-packages)
# Headers for building extensions of TensorFlow and PyTorch, and tests of scientific packages.
rm -rf "$packages/tensorflow/include" "$packages/torch/include"
for package in numpy scipy sklearn pandas pyarrow onnx matplotlib skimage; do
  if [ -d "$packages/$package" ]; then
    find "$packages/$package" -depth -type d -name tests -exec rm -rf {} +
  fi
done
