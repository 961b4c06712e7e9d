# MRQAP by sna on one thread: Rscript networks.R FILE REPS. See networks.py.
# Prints seconds and coefficients.

suppressPackageStartupMessages(library(sna))
arguments <- commandArgs(TRUE)
read <- read.csv(arguments[1])
reps <- as.integer(arguments[2])
n <- sqrt(nrow(read))
back <- function(v) matrix(v, n, byrow = TRUE)
predictors <- setdiff(names(read), "y")
x <- array(0, c(length(predictors), n, n))
for (i in seq_along(predictors)) x[i, , ] <- back(read[[predictors[i]]])
y <- back(read$y)
set.seed(1)
began <- as.numeric(Sys.time())
fit <- netlm(y, x, nullhyp = "qap", reps = reps)
spent <- as.numeric(Sys.time()) - began
cat(sprintf("%.17g", c(spent, fit$coefficients, fit$pgreqabs)), "\n")
