"""One model, one file: its card and who may pass, its weights, the library of models."""
