"""Models as files for other runtimes: ONNX, OpenVINO and PyTorch programs, checked before anyone finds them."""
