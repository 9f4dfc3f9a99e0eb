"""The service. Empty on purpose: importing one module must not load the others."""
