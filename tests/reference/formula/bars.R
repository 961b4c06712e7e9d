# How R and lme4 read formulas: the fixed terms by terms(), the bars by findbars() and
# expandDoubleVerts(), written as they come.
#
#   Rscript tests/reference/formula/bars.R
#
# The output holds the digest of this file. A change here asks for a new run.

suppressPackageStartupMessages({
  library(lme4)
  library(jsonlite)
})

script <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
home <- dirname(normalizePath(script))

formulas <- c(
  "y ~ 1",
  "y ~ x",
  "y ~ x + (1 | g)",
  "y ~ x + (x | g)",
  "y ~ x * z + (1 + x | g)",
  "y ~ x + (0 + x | g)",
  "y ~ x + (x - 1 | g)",
  "y ~ x + (-1 + x | g)",
  "y ~ (1 | g) + (0 + x | g)",
  "y ~ x + (x || g)",
  "y ~ x + (x + z || g)",
  "y ~ x + (0 + x + z || g)",
  "y ~ x + (1 + x * z || g)",
  "y ~ x + (x:z || g)",
  "y ~ (0 + x * z || g)",
  "y ~ (x / z || g)",
  "y ~ ((x + z)^2 || g)",
  "y ~ (x * z - z || g)",
  "y ~ (log(x) + z || g)",
  "y ~ (I(x^2) + x | g)",
  "y ~ (1 | a/b)",
  "y ~ (x | a/b)",
  "y ~ (x || a/b)",
  "y ~ (1 | a/b/c)",
  "y ~ (1 | a:b)",
  "y ~ (1 | a:b:c)",
  "y ~ (x | a) + (z | b)",
  "y ~ (1 | a) + (1 | b) + (1 | a:b)",
  "y ~ (1 | a/b:c)",
  "y ~ (1 | a/(b:c))",
  "y ~ ((1 | g))",
  "y ~ (x + (1 | g))",
  "y ~ 0 + x + (1 | g)",
  "y ~ x - 1 + (1 | g)",
  "y ~ (1 | g) - 1",
  "y ~ 0 + (1 | g)",
  "y ~ (x * z - 1) + w",
  "y ~ z + (x - z)",
  "y ~ x * z * w - x:z:w + (1 | g)",
  "y ~ (x + z + w)^2 + (1 | g)",
  "y ~ x / z + (1 | g)",
  "y ~ x / (z + w) + (1 | g)",
  "y ~ (x + z) / w + (1 | g)",
  "y ~ x:z + w + (1 | g)",
  "y ~ x * w + z:w - w",
  "y ~ x + z %in% x",
  "y ~ w * z %in% x",
  "y ~ w:z %in% x + (z %in% x | g)",
  "log(y) ~ log(x) + I(x^2) + (1 | g)",
  # The next ones are not read as the algebra of terms has it by this version of lme4.
  "y ~ (1 | a:b/c)",
  "y ~ (1 | (a:b)/c)",
  "y ~ (1 | a/(b/c))",
  "y ~ (1 | (a/b):c)"
)

text_of <- function(call) paste(deparse(call, width.cutoff = 500L), collapse = " ")

right_side <- function(expression) {
  t <- terms(as.formula(call("~", expression), globalenv()))
  list(intercept = attr(t, "intercept") == 1L, terms = attr(t, "term.labels"))
}

written_bars <- function(node) {
  if (!is.call(node)) return(list())
  if (as.character(node[[1]]) %in% c("|", "||")) return(list(node))
  do.call(c, lapply(as.list(node)[-1], written_bars))
}

record <- function(text) {
  f <- as.formula(text)
  read <- tryCatch(findbars(expandDoubleVerts(f)), error = conditionMessage)
  rest <- nobars(f)
  list(
    formula = text,
    intercept = attr(terms(f), "intercept") == 1L,
    fixed = c(list(text = text_of(rest[[3]])), right_side(rest[[3]])),
    error = if (is.character(read)) read,
    findbars = lapply(Filter(is.call, as.list(read)), function(bar) {
      c(list(text = text_of(bar)), right_side(bar[[2]]), list(group = all.vars(bar[[3]])))
    }),
    written = lapply(written_bars(f[[3]]), function(bar) {
      list(text = text_of(bar), effects = right_side(bar[[2]]), groups = right_side(bar[[3]])$terms)
    })
  )
}

output <- list(
  script_md5 = unname(tools::md5sum(script)),
  versions = list(
    R = R.version.string, lme4 = as.character(packageVersion("lme4")),
    jsonlite = as.character(packageVersion("jsonlite"))
  ),
  date = format(Sys.Date()),
  formulas = lapply(formulas, record)
)
# Vectors stay vectors, whatever their length; all else is a single value.
keep <- c("terms", "group", "groups")
shape <- function(x, name = "") {
  if (is.list(x)) {
    named <- names(x)
    x <- lapply(seq_along(x), function(i) shape(x[[i]], if (is.null(named)) "" else named[i]))
    names(x) <- named
    return(x)
  }
  if (name %in% keep) as.character(x) else if (length(x) == 1L) unbox(x) else x
}
writeLines(
  toJSON(shape(output), null = "null", pretty = 1),
  file.path(home, "bars.json")
)
