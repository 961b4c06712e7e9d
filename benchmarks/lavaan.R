# One engine of benchmarks/structural.py: a model and a table, then a call for every line of input.

suppressPackageStartupMessages(library(lavaan))
arguments <- commandArgs(TRUE)
data <- read.csv(arguments[1])
model <- paste(readLines(arguments[2]), collapse = "\n")
estimator <- arguments[3]
input <- file("stdin", "r")
while (length(readLines(input, n = 1)) > 0) {
  seconds <- system.time({
    fit <- sem(model, data, estimator = estimator)
    measures <- fitMeasures(fit)
    table <- parameterEstimates(fit, standardized = TRUE)
  }, gcFirst = FALSE)[["elapsed"]]
  cat(sprintf("%.6f %.10f\n", seconds, as.numeric(logLik(fit))))
}
