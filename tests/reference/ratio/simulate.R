# Likelihood ratios under the null by brute force: responses drawn from the smaller model, both
# models fitted to each by lme4. Raw, with 17 significant digits.
#
#   Rscript tests/reference/ratio/simulate.R
#
# The tables are those of ../lme4/data and ../smallsample/data. The output holds this file's digest.

suppressPackageStartupMessages({
  library(lme4)
  library(jsonlite)
})

script <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
home <- dirname(normalizePath(script))
verbatim <- function(text) structure(text, class = "json")
vec <- function(x) verbatim(paste0("[", paste(sprintf("%.17g", as.double(x)), collapse = ","), "]"))

# Twelve groups of 2 to 12 rows, a slope with its covariance; and a third level over a second.
models <- list(
  slope = list(table = "../smallsample/data/unbalanced.csv", reml = TRUE,
               small = "y ~ x + w + (1 | g)", large = "y ~ x + w + (x | g)"),
  level = list(table = "../clusters/districts.csv", reml = FALSE,
               small = "y ~ x + w + (1 | school)", large = "y ~ x + w + (1 | district) + (1 | school)")
)
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-8, maxfun = 1e5),
                     calc.derivs = FALSE, check.conv.singular = "ignore")
draws <- 1000

one_model <- function(m) {
  d <- read.csv(file.path(home, m$table))
  fits <- lapply(c(m$small, m$large), function(f) lmer(as.formula(f), d, REML = m$reml, control = tight))
  deviance_of <- function(fit) if (m$reml) REMLcrit(fit) else deviance(fit)
  set.seed(1994)
  Y <- simulate(fits[[1]], draws)
  ratio <- sapply(seq_len(draws), function(k) {
    deviance_of(refit(fits[[1]], Y[[k]])) - deviance_of(refit(fits[[2]], Y[[k]]))
  })
  list(table = m$table, reml = m$reml, small = m$small, large = m$large,
       observed = vec(deviance_of(fits[[1]]) - deviance_of(fits[[2]])), draws = vec(ratio))
}

out <- list(
  script_md5 = unname(tools::md5sum(script)), date = format(Sys.Date()),
  versions = list(R = R.version.string, lme4 = as.character(packageVersion("lme4")),
                  platform = R.version$platform),
  models = lapply(models, one_model)
)
text <- toJSON(out, auto_unbox = TRUE, json_verbatim = TRUE, null = "null", na = "null", pretty = 1)
writeLines(text, file.path(home, "simulate.json"))
