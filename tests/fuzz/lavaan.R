# Fits every model of a folder with lavaan; log-likelihood and estimates are there where it converged.

suppressPackageStartupMessages({
  library(lavaan)
  library(jsonlite)
})
folder <- commandArgs(TRUE)[1]
manifest <- fromJSON(file.path(folder, "manifest.json"), simplifyDataFrame = FALSE)

one <- function(m) {
  data <- as.data.frame(matrix(readBin(file.path(folder, paste0(m$seed, ".bin")), "double", m$rows * length(m$columns)), m$rows))
  names(data) <- unlist(m$columns)
  if (!is.null(data$school)) data$school <- c("one", "two")[data$school]
  o <- m$options
  # A search of more than a thousand steps does not end: the optimum is at infinity.
  # Without the baseline it fails with several groups of clusters.
  own <- list(
    model = m$text, data = data, se = "none", baseline = !is.null(o$cluster) && !is.null(o$group),
    control = list(iter.max = 1000, eval.max = 2000)
  )
  if (!is.null(o$cluster)) own$cluster <- o$cluster
  if (!is.null(o$missing)) own$missing <- "ml"
  if (!is.null(o$group)) own$group <- o$group
  if (!is.null(o$group_equal)) own$group.equal <- unlist(o$group_equal)
  if (!is.null(o$fixed_x)) own$fixed.x <- o$fixed_x
  if (!is.null(o$std_lv)) own$std.lv <- o$std_lv
  if (!is.null(o$meanstructure)) own$meanstructure <- o$meanstructure
  verb <- if (isTRUE(o$growth)) "growth" else "sem"
  best <- list(seed = m$seed)
  began <- proc.time()[["elapsed"]]
  fit <- tryCatch(suppressWarnings(do.call(verb, own)), error = function(e) e)
  if (inherits(fit, "error")) {
    best$error <- conditionMessage(fit)
  } else if (lavInspect(fit, "converged")) {
    best$logl <- as.numeric(logLik(fit))
    best$npar <- attr(logLik(fit), "df")
    said <- parTable(fit)
    said <- said[said$free > 0, ]
    best$rows <- lapply(seq_len(nrow(said)), function(i) {
      level <- if (is.null(said$level)) 1 else max(said$level[i], 1)
      list(lhs = said$lhs[i], op = said$op[i], rhs = said$rhs[i], level = level, group = said$group[i], est = said$est[i])
    })
  }
  best$seconds <- proc.time()[["elapsed"]] - began
  best
}

answers <- lapply(manifest, one)
said <- list(lavaan = as.character(packageVersion("lavaan")), models = answers)
writeLines(toJSON(said, auto_unbox = TRUE, null = "null", digits = NA), file.path(folder, "answers.json"))
