"""Models behind a port: the Open Inference Protocol v2 over REST and gRPC, run by ONNX Runtime."""
