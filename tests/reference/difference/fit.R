# Scaled likelihood ratios of lavaan, raw, with 17 significant digits.
#
#   Rscript tests/reference/difference/fit.R
#
# The tables are those of ../lavaan/data; in one with holes every so many-th value of x1 .. x6 is
# taken out, by rows. The output holds the digests of this file and of models.json.

suppressPackageStartupMessages({
  library(lavaan)
  library(jsonlite)
})

script <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
home <- dirname(normalizePath(script))
verbatim <- function(text) structure(text, class = "json")
number <- function(x) verbatim(if (is.finite(x)) sprintf("%.17g", x) else "null")

one <- function(m) {
  data <- read.csv(file.path(home, "../lavaan/data", paste0(m$data, ".csv")))
  if (!is.null(m$holes)) {
    values <- t(as.matrix(data[paste0("x", 1:6)]))
    values[seq(1, length(values), by = m$holes)] <- NA
    data[paste0("x", 1:6)] <- t(values)
  }
  o <- m$options
  own <- list(data = data, estimator = toupper(o$estimator), group = o$group, cluster = o$cluster)
  if (!is.null(o$meanstructure)) own$meanstructure <- o$meanstructure
  if (!is.null(o$missing)) own$missing <- "ml"
  fits <- lapply(c(m$small, m$large), function(text) do.call("sem", c(list(model = text), own)))
  by <- function(method) {
    found <- tryCatch(lavTestLRT(fits[[1]], fits[[2]], method = method, scaled.shifted = FALSE), error = function(e) NULL)
    if (is.null(found)) return(NULL)
    list(chisq = number(found[["Chisq diff"]][2]), df = found[["Df diff"]][2], pvalue = number(found[["Pr(>Chisq)"]][2]))
  }
  ratio <- 2 * (as.numeric(logLik(fits[[2]])) - as.numeric(logLik(fits[[1]])))
  list(ratio = number(ratio), `satorra-bentler-2001` = by("satorra.bentler.2001"),
       `satorra-bentler-2010` = by("satorra.bentler.2010"), `satorra-2000` = by("satorra.2000"))
}

models <- fromJSON(file.path(home, "models.json"), simplifyVector = FALSE)
out <- list(
  script_md5 = unname(tools::md5sum(script)), models_md5 = unname(tools::md5sum(file.path(home, "models.json"))),
  date = format(Sys.Date()),
  versions = list(R = R.version.string, lavaan = as.character(packageVersion("lavaan")), platform = R.version$platform),
  models = setNames(lapply(models, one), sapply(models, `[[`, "key"))
)
writeLines(toJSON(out, auto_unbox = TRUE, json_verbatim = TRUE, null = "null", pretty = 1), file.path(home, "fit.json"))
