# Two-level and incomplete models by lavaan, written as they come, with 17 significant digits.
#
#   Rscript tests/reference/twolevel/run.R
#
# The output holds the digest of this file. A change here asks for a new run.

suppressPackageStartupMessages({
  library(lavaan)
  library(jsonlite)
})

script <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
home <- dirname(normalizePath(script))

# ---- numbers as text -------------------------------------------------------------------------

verbatim <- function(text) structure(text, class = "json")
digits17 <- function(x) {
  text <- sprintf("%.17g", as.double(x))
  text[!is.finite(x)] <- "null"
  text
}
vec <- function(x) verbatim(paste0("[", paste(digits17(x), collapse = ","), "]"))
rows <- function(m) {
  m <- as.matrix(m)
  each <- apply(m, 1, function(r) paste0("[", paste(digits17(r), collapse = ","), "]"))
  verbatim(paste0("[", paste(each, collapse = ","), "]"))
}

# ---- data ------------------------------------------------------------------------------------

columns <- c("cluster", "y1", "y2", "y3", "y4", "x1", "x2", "x3", "w1", "w2")
demo <- Demo.twolevel[, columns]
shown <- as.data.frame(lapply(demo, function(x) digits17(x)))
con <- gzfile(file.path(home, "demo.csv.gz"), "w", compression = 9)
write.csv(shown, con, row.names = FALSE, quote = FALSE)
close(con)
set.seed(42)
gaps <- lapply(c(y1 = "y1", y2 = "y2", y3 = "y3"), function(v) sort(sample(nrow(demo), 250)))
holed <- demo
for (v in names(gaps)) holed[[v]][gaps[[v]]] <- NA

scores <- HolzingerSwineford1939[, paste0("x", 1:9)]
con <- gzfile(file.path(home, "holzinger.csv.gz"), "w", compression = 9)
write.csv(as.data.frame(lapply(scores, digits17)), con, row.names = FALSE, quote = FALSE)
close(con)
set.seed(7)
holes <- matrix(runif(length(as.matrix(scores))) < 0.1, nrow(scores))
thin <- scores
thin[holes] <- NA

# ---- models ----------------------------------------------------------------------------------

factor_model <- "
  level: 1
    fw =~ y1 + y2 + y3
    fw ~ x1 + x2 + x3
  level: 2
    fb =~ y1 + y2 + y3
    fb ~ w1 + w2
"
cfa_model <- "visual =~ x1 + x2 + x3
              textual =~ x4 + x5 + x6
              speed =~ x7 + x8 + x9"

described <- function(fit) {
  table <- parTable(fit)
  table <- table[table$free > 0, ]
  measures <- fitMeasures(fit)
  list(
    lhs = table$lhs, op = table$op, rhs = table$rhs, level = table$level,
    est = vec(table$est), se = vec(table$se),
    logl = vec(measures["logl"]), h1 = vec(measures["unrestricted.logl"]),
    names = names(measures), measures = vec(measures),
    implied = lapply(lavInspect(fit, "implied"), function(block) {
      if (is.list(block)) {
        list(names = rownames(block$cov), cov = rows(block$cov), mean = vec(block$mean))
      } else {
        NULL
      }
    }),
    cov = rows(fitted(fit)$cov %||% matrix(0, 1, 1)),
    mean = vec(fitted(fit)$mean %||% 0)
  )
}
`%||%` <- function(a, b) if (is.null(a)) b else a

two <- function(data, ...) sem(factor_model, data = data, cluster = "cluster", ...)
saturated_within <- "
  level: 1
    y1 ~~ y2 + y3
    y2 ~~ y3
    y1 + y2 + y3 ~ x1 + x2 + x3
  level: 2
    fb =~ y1 + y2 + y3
    fb ~ w1 + w2
"
saturated_between <- "
  level: 1
    fw =~ y1 + y2 + y3
    fw ~ x1 + x2 + x3
  level: 2
    y1 ~~ y2 + y3
    y2 ~~ y3
    y1 + y2 + y3 ~ w1 + w2
"
upper <- "
  level: 1
    y2 ~ y1
  level: 2
    y1 ~ a*w1
    y2 ~ b*y1 + c*w1
"
lower <- "
  level: 1
    y2 ~ y1
    y3 ~ y2 + y1
  level: 2
    y2 ~ y1
    y3 ~ y2 + y1
"
context <- "
  level: 1
    fw =~ y1 + a*y2 + b*y3
    y4 ~ fw
  level: 2
    fb =~ y1 + a*y2 + b*y3
    y4 ~ fb
"
models <- list(
  upper = described(sem(upper, demo, cluster = "cluster")),
  lower = described(sem(lower, demo, cluster = "cluster")),
  context = described(sem(context, demo, cluster = "cluster")),
  saturated_within = described(sem(saturated_within, demo, cluster = "cluster")),
  saturated_between = described(sem(saturated_between, demo, cluster = "cluster")),
  complete = described(two(demo)),
  complete_random_x = described(two(demo, fixed.x = FALSE)),
  complete_mlr = described(two(demo, estimator = "MLR")),
  missing = described(two(holed, missing = "ml")),
  rows_complete = described(cfa(cfa_model, scores, meanstructure = TRUE)),
  rows_missing = described(cfa(cfa_model, thin, missing = "ml")),
  rows_missing_mlr = described(
    cfa(cfa_model, thin, missing = "ml", estimator = "MLR")
  )
)

scored <- two(demo)
output <- list(
  scores = vec(lavPredict(scored, level = 1)[1:30, "fw"]),
  digest = unname(tools::md5sum(normalizePath(script))),
  lavaan = as.character(packageVersion("lavaan")),
  r = R.version.string,
  date = format(Sys.Date()),
  gaps = gaps,
  holes = lapply(seq_len(ncol(holes)), function(k) which(holes[, k])),
  models = models
)
writeLines(toJSON(output, auto_unbox = TRUE, json_verbatim = TRUE, pretty = 1),
           file.path(home, "output.json"))
