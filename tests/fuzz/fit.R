# Fits every design of a folder with lme4 and keeps the best criterion that lme4 can find.
#
#   Rscript fit.R FOLDER
#
# FOLDER/manifest.json lists the designs; FOLDER/<seed>.bin holds a design's columns one after the
# other as doubles (levels of factors as codes from 0), so that both programs see the same bits.
# Writes FOLDER/answers.json, with the digest of this file.

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
  for (g in m$groups) d[[g]] <- factor(d[[g]])
  d$f <- factor(c("a", "b", "c")[d$f + 1])
  d
}

# The ways to an optimum: the default, then tight optimisers from several starts.
optima <- function(devfun, theta0) {
  small <- theta0 * 0.1
  run <- function(name, start, control) {
    tryCatch(suppressWarnings(suppressMessages(optimizeLmer(
      devfun, optimizer = name, start = start, restart_edge = name == "nloptwrap",
      boundary.tol = if (name == "nloptwrap") 1e-5 else 0, control = control, calc.derivs = FALSE
    ))), error = function(e) NULL)
  }
  simplex <- list(maxfun = 2500, FtolAbs = 1e-11, FtolRel = 1e-15, XtolRel = 1e-9)
  first <- run("nloptwrap", theta0, list())
  found <- list(
    default = first,
    bobyqa = run("bobyqa", theta0, list(rhoend = 1e-9, maxfun = 3000)),
    bobyqa_small = run("bobyqa", small, list(rhobeg = 0.05, rhoend = 1e-9, maxfun = 3000)),
    simplex = run("Nelder_Mead", theta0, simplex),
    simplex_small = run("Nelder_Mead", small, simplex)
  )
  found <- Filter(Negate(is.null), found)
  best <- found[[which.min(sapply(found, function(o) o$fval))]]
  found$again <- run("bobyqa", best$par, list(rhobeg = 0.02, rhoend = 1e-9, maxfun = 3000))
  Filter(Negate(is.null), found)
}

# Random terms in the order of theta.
terms_of <- function(r) {
  group <- names(r$flist)[attr(r$flist, "assign")]
  lapply(seq_along(r$cnms), function(i) list(group = group[i], names = as.list(r$cnms[[i]])))
}

fit_design <- function(m) {
  began <- proc.time()[[1]]
  answer <- tryCatch(suppressWarnings(suppressMessages({
    parsed <- lFormula(as.formula(m$formula), read_design(m), REML = m$reml)
    devfun <- do.call(mkLmerDevfun, parsed)
    found <- optima(devfun, parsed$reTrms$theta)
    value <- sapply(found, function(o) o$fval)
    best <- found[[which.min(value)]]
    list(
      criterion = one(min(value)), best = names(found)[which.min(value)],
      all = structure(lapply(value, one), names = names(found)), theta = vec(best$par),
      columns = as.list(colnames(parsed$X)), terms = terms_of(parsed$reTrms)
    )
  })), error = function(e) list(error = conditionMessage(e)))
  c(list(seed = m$seed), answer, list(seconds = one(proc.time()[[1]] - began)))
}

manifest <- fromJSON(file.path(folder, "manifest.json"), simplifyDataFrame = FALSE)
answers <- list(
  script_md5 = unname(tools::md5sum(script)), R = R.version.string,
  lme4 = as.character(packageVersion("lme4")), date = format(Sys.Date()),
  designs = lapply(manifest, fit_design)
)
text <- toJSON(answers, auto_unbox = TRUE, json_verbatim = TRUE, null = "null", pretty = 1)
writeLines(text, file.path(folder, "answers.json"))
