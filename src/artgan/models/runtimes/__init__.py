"""Running generators without PyTorch: ONNX files, 8-bit integers, ONNX Runtime, OpenVINO."""
