"""What DistilBERT is: configuration, tensor names and shapes, outputs, the runner protocol and errors."""
