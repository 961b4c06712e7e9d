# Ladders of invariance by lavaan: across groups, across levels, and score tests of equalities.
#
#   Rscript tests/reference/invariance/fit.R      (from the root of the repository; 2 minutes)
#
# The tables are those under tests/reference/lavaan/data. Needs lavaan and jsonlite.

suppressPackageStartupMessages({library(lavaan); library(jsonlite)})
here <- "tests/reference/invariance"
hs <- read.csv("tests/reference/lavaan/data/hs.csv")
two <- read.csv("tests/reference/lavaan/data/twolevel.csv")
model <- "visual =~ x1 + x2 + x3; textual =~ x4 + x5 + x6; speed =~ x7 + x8 + x9"

# The tightest tolerance at which lavaan's optimiser reports success.
closest <- function(...) {
  for (tolerance in c(1e-15, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10, 1e-9)) {
    control <- list(iter.max = 1e5, eval.max = 1e5, rel.tol = tolerance)
    fit <- suppressWarnings(cfa(..., control = control))
    if (lavInspect(fit, "converged")) return(fit)
  }
  fit
}

rungs <- list(configural = character(0), metric = "loadings", scalar = c("loadings", "intercepts"),
              strict = c("loadings", "intercepts", "residuals"),
              lv_variances = c("loadings", "intercepts", "residuals", "lv.variances"),
              lv_covariances = c("loadings", "intercepts", "residuals", "lv.variances", "lv.covariances"),
              means = c("loadings", "intercepts", "residuals", "lv.variances", "lv.covariances", "means"))
measures <- function(fit) {
  wanted <- c("npar", "chisq", "df", "cfi", "rmsea", "srmr", "srmr_within", "srmr_between", "logl",
              "aic", "bic", "chisq.scaled", "cfi.robust", "rmsea.robust")
  found <- suppressWarnings(fitMeasures(fit))
  as.list(found[intersect(wanted, names(found))])
}
differences <- function(fits) {
  found <- do.call(lavTestLRT, c(list(object = fits[[1]]), unname(fits[-1]), list(method = "satorra.bentler.2001")))
  list(chisq = found[["Chisq diff"]][-1], df = found[["Df diff"]][-1], pvalue = found[["Pr(>Chisq)"]][-1])
}
groups <- function(...) lapply(rungs, function(equal) closest(model, hs, group = "school", group.equal = if (length(equal)) equal else "", ...))
ladder <- function(fits) list(measures = lapply(fits, measures), differences = differences(fits))

scores <- function(fit, op) {
  table <- parTable(fit)
  tests <- lavTestScore(fit)$uni
  at <- match(tests$lhs, table$plabel)
  keep <- table$op[at] == op
  list(parameter = paste0(table$lhs[at], table$op[at], table$rhs[at])[keep], score = tests$X2[keep],
       df = tests$df[keep])
}

ml <- groups()
mlr <- groups(estimator = "MLR")
partial <- closest(model, hs, group = "school", group.equal = rungs$scalar,
               group.partial = c("x3~1", "x7~1"))
std <- closest(model, hs, group = "school", group.equal = rungs$metric, std.lv = TRUE)

level <- function(loadings, residuals) {
  l <- if (loadings) c("1*y1", "a*y2", "b*y3") else c("1*y1", "y2", "y3")
  within <- paste("level: 1\n f =~", paste(l, collapse = " + "))
  between <- paste("level: 2\n f =~", paste(l, collapse = " + "))
  if (residuals) between <- paste(between, "y1 ~~ 0*y1", "y2 ~~ 0*y2", "y3 ~~ 0*y3", sep = "\n ")
  closest(paste(within, between, sep = "\n"), two, cluster = "cluster")
}
levels <- list(configural = level(FALSE, FALSE), metric = level(TRUE, FALSE), strong = level(TRUE, TRUE))

output <- list(
  script_md5 = unname(tools::md5sum(file.path(here, "fit.R"))),
  date = format(Sys.Date()),
  versions = list(R = R.version.string, lavaan = as.character(packageVersion("lavaan"))),
  ml = ladder(ml), mlr = ladder(mlr),
  partial = measures(partial), std_lv = measures(std),
  levels = list(measures = lapply(levels, measures),
                logl_h1 = as.numeric(fitMeasures(levels[[1]], "unrestricted.logl"))),
  score_loadings = scores(ml$metric, "=~"), score_intercepts = scores(ml$scalar, "~1"))
writeLines(toJSON(output, auto_unbox = TRUE, digits = I(17), pretty = TRUE, na = "null"),
           file.path(here, "output.json"))
