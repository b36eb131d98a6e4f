"""Other ways to run a generator than PyTorch: ONNX files, 8-bit integers, ONNX Runtime, OpenVINO."""
