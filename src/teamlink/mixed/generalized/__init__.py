"""Generalized linear mixed models: Laplace's approximation and adaptive quadrature."""
