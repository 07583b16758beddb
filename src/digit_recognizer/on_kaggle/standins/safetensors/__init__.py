"""The part of safetensors that writes."""
