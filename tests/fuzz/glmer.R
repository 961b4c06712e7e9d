# Fits every design of a folder with glmer and keeps the best optimum that glmer can find.
#
#   Rscript glmer.R FOLDER
#
# FOLDER/manifest.json lists the designs; FOLDER/<seed>.bin holds a design's columns one after the
# other as doubles. Writes FOLDER/answers.json, with the digest of this file.

suppressPackageStartupMessages({
  library(lme4)
  library(jsonlite)
})

script <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
folder <- commandArgs(TRUE)[1]
digits17 <- function(x) {
  text <- sprintf("%.17g", as.double(x))
  text[!is.finite(x)] <- "null"
  text
}
vec <- function(x) structure(paste0("[", paste(digits17(x), collapse = ","), "]"), class = "json")
one <- function(x) structure(digits17(x), class = "json")

read_design <- function(m) {
  values <- readBin(file.path(folder, paste0(m$seed, ".bin")), "double", m$rows * length(m$columns))
  d <- as.data.frame(matrix(values, m$rows, dimnames = list(NULL, m$columns)))
  d$g <- factor(d$g)
  d$h <- factor(d$h)
  d
}

fit_design <- function(m) {
  d <- read_design(m)
  text <- m$formula
  if (m$family == "binomial") text <- sub("^y", "cbind(y, m - y)", text)
  run <- function(control, start = NULL) tryCatch(suppressWarnings(suppressMessages(
    glmer(as.formula(text), d, family = m$family, nAGQ = m$nagq, control = control, start = start)
  )), error = function(e) conditionMessage(e))
  default <- run(glmerControl(calc.derivs = FALSE))
  if (is.character(default)) return(list(seed = m$seed, error = default))
  tight <- glmerControl(
    optimizer = "bobyqa", tolPwrss = 1e-12, boundary.tol = 0, calc.derivs = FALSE,
    optCtrl = list(rhobeg = 0.05, rhoend = 1e-8, maxfun = 10000)
  )
  again <- run(tight, list(theta = getME(default, "theta"), fixef = fixef(default)))
  list(
    seed = m$seed,
    fits = Filter(Negate(is.null), lapply(list(default = default, tight = again), function(fit) {
      if (is.character(fit)) return(NULL)
      list(deviance = one(-2 * as.numeric(logLik(fit))), beta = vec(fixef(fit)),
           terms = lapply(unclass(VarCorr(fit)), function(v) list(
             names = I(rownames(v)), values = vec(as.matrix(v)))))
    }))
  )
}

manifest <- fromJSON(file.path(folder, "manifest.json"), simplifyDataFrame = FALSE)
answers <- list(
  script_md5 = unname(tools::md5sum(script)), R = R.version.string,
  lme4 = as.character(packageVersion("lme4")), date = format(Sys.Date()),
  designs = lapply(manifest, fit_design)
)
text <- toJSON(answers, auto_unbox = TRUE, json_verbatim = TRUE, null = "null", pretty = 1)
writeLines(text, file.path(folder, "answers.json"))
