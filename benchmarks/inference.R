# One call after a fit, timed: Rscript inference.R TASK CACHE. See inference.py.

suppressPackageStartupMessages({
  library(lme4)
})
arguments <- commandArgs(TRUE)
cache <- arguments[2]

clock <- function(expr) {
  began <- as.numeric(Sys.time())
  force(expr)
  as.numeric(Sys.time()) - began
}

tasks <- list(
  bootstrap = function() {
    d <- read.csv(file.path(cache, "inference-47.csv"))
    fit <- lmer(mathach ~ cses + sector + (cses | school), d)
    everything <- function(f) c(fixef(f), as.data.frame(VarCorr(f))$sdcor)
    set.seed(1)
    10 * clock(suppressWarnings(suppressMessages(bootMer(fit, everything, nsim = 100))))
  },
  profile = function() {
    fit <- lmer(Reaction ~ Days + (Days | Subject), sleepstudy, REML = FALSE)
    clock(suppressWarnings(suppressMessages(confint(profile(fit)))))
  },
  `kenward-roger` = function() {
    d <- with(mlmRev::Hsb82, data.frame(school, mathach = mAch, meanses, cses, sector))
    fit <- lmer(mathach ~ meanses * cses + sector * cses + (cses | school), d)
    p <- length(fixef(fit))
    clock({
      plain <- vcov(fit)
      adjusted <- pbkrtest::vcovAdj(fit)
      sapply(seq_len(p), function(i) pbkrtest::Lb_ddf(as.numeric(seq_len(p) == i), plain, adjusted))
    })
  }
)
cat(sprintf("%.6f\n", tasks[[arguments[1]]]()))
