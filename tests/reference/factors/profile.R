# Likelihood profiles of models with several grouping factors by lme4, raw, with 17 digits.
#
#   Rscript tests/reference/factors/profile.R
#
# The tables are those of data/, which fit.R writes. The output holds the digest of this file.

suppressPackageStartupMessages({
  library(lme4)
  library(jsonlite)
})

script <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
home <- dirname(normalizePath(script))

verbatim <- function(text) structure(text, class = "json")
digits17 <- function(x) {
  text <- sprintf("%.17g", as.double(x))
  text[!is.finite(x)] <- "null"
  text
}
vec <- function(x) verbatim(paste0("[", paste(digits17(x), collapse = ","), "]"))

models <- list(
  penicillin = list(table = "penicillin", formula = "diameter ~ 1 + (1 | plate) + (1 | sample)"),
  pastes = list(table = "pastes", formula = "strength ~ 1 + (1 | batch/cask)"),
  movers_intercepts = list(table = "movers", formula = "y ~ x * w + (1 | school) + (1 | child)")
)

tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9, maxfun = 1e5))

one_model <- function(m) {
  d <- read.csv(file.path(home, "data", paste0(m$table, ".csv")))
  fit <- lmer(as.formula(m$formula), d, REML = FALSE, control = tight)
  p <- suppressWarnings(profile(fit, signames = FALSE, devtol = 1e-6, delta.cutoff = 1 / 16))
  ci <- confint(p, level = 0.95)
  ci90 <- confint(p, level = 0.90)
  list(
    table = m$table, formula = m$formula, deviance = vec(-2 * logLik(fit)),
    names = as.list(rownames(ci)), low = vec(ci[, 1]), high = vec(ci[, 2]),
    low90 = vec(ci90[, 1]), high90 = vec(ci90[, 2]),
    zeta = lapply(split(as.data.frame(p), p$.par), function(s) list(
      value = vec(s$.focal), zeta = vec(s$.zeta)
    ))
  )
}

out <- list(
  script = "profile.R", script_md5 = unname(tools::md5sum(script)), date = format(Sys.Date()),
  versions = list(
    R = R.version.string, lme4 = as.character(packageVersion("lme4")),
    platform = R.version$platform
  ),
  models = lapply(models, one_model)
)
text <- toJSON(out, auto_unbox = TRUE, json_verbatim = TRUE, null = "null", na = "null", pretty = 1)
writeLines(text, file.path(home, "profile.json"))
