# Diagnostics, effect sizes and effects over a grid, raw, with 17 significant digits.
#
#   Rscript tests/reference/diagnostics/run.R           every model (a minute)
#   Rscript tests/reference/diagnostics/run.R sleep     one
#
# Deletions are worked out by brute force: generalised least squares without the rows, with V from
# lme4's own Z and Lambda. `refitted` is lme4's influence(), which estimates the variances again.
# Each output holds the digest of this file and of ../lme4/fit.R, from which numbers are printed.

suppressPackageStartupMessages({
  library(lme4)
  library(lmerTest)
  library(pbkrtest)
  library(performance)
  library(emmeans)
  library(jsonlite)
})

script <- normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE)))
home <- dirname(script)
other <- normalizePath(file.path(home, "..", "lme4", "fit.R"))
borrowed <- c("verbatim", "digits17", "vec", "one", "matrix_rows", "words", "hsb")
for (e in parse(other)) {
  if (is.call(e) && identical(e[[1]], as.name("<-")) && as.character(e[[2]])[1] %in% borrowed) eval(e)
}

# ---- data ------------------------------------------------------------------------------------

kept <- function(d, name) {
  path <- file.path(home, "data", paste0(name, ".csv"))
  shown <- as.data.frame(lapply(d, function(v) if (is.numeric(v)) digits17(v) else as.character(v)))
  write.csv(shown, path, row.names = FALSE, quote = FALSE)
  d <- read.csv(path)
  for (v in names(d)) if (is.character(d[[v]])) d[[v]] <- factor(d[[v]])
  d
}

crossed <- function() {
  set.seed(31)
  n <- 150
  g <- sample(12, n, TRUE)
  h <- sample(8, n, TRUE)
  x <- rnorm(n) + 1
  k <- sample(3, n, TRUE)
  y <- 1 + 0.5 * x + c(0, 0.6, -0.4)[k] + rnorm(12)[g] + 0.5 * rnorm(12)[g] * x + rnorm(8)[h] + rnorm(n)
  kept(data.frame(y = y, x = x, k = letters[k], g = sprintf("g%02d", g), h = sprintf("h%d", h)), "crossed")
}
nested <- function() {
  set.seed(32)
  class <- rep(1:36, times = sample(3:7, 36, TRUE))
  school <- ((class - 1) %/% 4) + 1
  n <- length(class)
  x <- rnorm(n) + rnorm(36)[class]
  w <- rnorm(9)[school]
  y <- 2 + 0.4 * x + 0.3 * w + rnorm(9)[school] + 0.8 * rnorm(36)[class] + rnorm(n)
  kept(data.frame(y = y, x = x, w = w, class = sprintf("c%02d", class), school = sprintf("s%d", school)), "nested")
}
sleep <- transform(read.csv(file.path(home, "..", "lme4", "data", "sleepstudy.csv")), Subject = factor(Subject))

models <- list(
  list(key = "sleep", table = sleep, name = "sleepstudy", formula = "Reaction ~ Days + (Days | Subject)",
       at = list(Days = c(0, 4.5, 9)), trend = list("Days", NULL, list()), ols = TRUE),
  list(key = "hsb", table = hsb, name = "hsb82", ols = TRUE,
       formula = "mathach ~ meanses * cses + sector * cses + (cses | school)",
       at = list(sector = c("Public", "Catholic"), cses = c(-1, 1), meanses = c(-0.5, 0.5)),
       trend = list("cses", "sector", list(meanses = c(-0.5, 0.5)))),
  list(key = "crossed", table = crossed(), name = "crossed", formula = "y ~ x * k + (x | g) + (1 | h)",
       at = list(k = c("a", "b", "c"), x = c(0, 2)), trend = list("x", "k", list()), ols = FALSE),
  list(key = "nested", table = nested(), name = "nested", formula = "y ~ x + w + (1 | class) + (1 | school)",
       at = list(x = c(-1, 1), w = c(0, 1)), trend = list("x", NULL, list()), ols = FALSE)
)

# ---- deletions ---------------------------------------------------------------------------------

measures <- function(C, Cd, shift, s2) {
  p <- nrow(C)
  c(cooks_d = sum(shift * solve(C, shift)) / p / s2, mdffits = sum(shift * solve(Cd, shift)) / p / s2,
    covratio = det(Cd) / det(C), covtrace = sum(diag(solve(C, Cd))) - p)
}

# Sums over independent blocks of rows: X'V^-1 X and X'V^-1 y, V of the rows that are kept.
normal_parts <- function(X, y, ZL, keep) {
  V <- diag(length(keep)) + tcrossprod(ZL[keep, , drop = FALSE])
  Xk <- X[keep, , drop = FALSE]
  list(A = t(Xk) %*% solve(V, Xk), b = t(Xk) %*% solve(V, y[keep]))
}

deletions <- function(fit, sets, blocks) {
  X <- getME(fit, "X")
  y <- getME(fit, "y")
  ZL <- as.matrix(t(getME(fit, "Lambdat") %*% getME(fit, "Zt")))
  dense <- function(rows) ZL[, colSums(abs(ZL[rows, , drop = FALSE])) > 0, drop = FALSE]
  parts <- lapply(blocks, function(rows) normal_parts(X, y, dense(rows), rows))
  A <- Reduce(`+`, lapply(parts, `[[`, "A"))
  b <- Reduce(`+`, lapply(parts, `[[`, "b"))
  beta <- solve(A, b)
  of_block <- integer(length(y))
  for (i in seq_along(blocks)) of_block[blocks[[i]]] <- i
  out <- sapply(sets, function(gone) {
    Ad <- A
    bd <- b
    for (i in unique(of_block[gone])) {
      keep <- setdiff(blocks[[i]], gone)
      Ad <- Ad - parts[[i]]$A
      bd <- bd - parts[[i]]$b
      if (length(keep)) {
        left <- normal_parts(X, y, dense(blocks[[i]]), keep)
        Ad <- Ad + left$A
        bd <- bd + left$b
      }
    }
    shift <- as.numeric(beta - solve(Ad, bd))
    c(shift, measures(solve(A), solve(Ad), shift, sigma(fit)^2))
  })
  p <- ncol(X)
  list(shift = matrix_rows(t(out[seq_len(p), , drop = FALSE])), cooks_d = vec(out["cooks_d", ]),
       mdffits = vec(out["mdffits", ]), covratio = vec(out["covratio", ]), covtrace = vec(out["covtrace", ]))
}

by_level <- function(f) split(seq_along(f), f)

# ---- least squares group by group --------------------------------------------------------------

own_estimates <- function(fit) {
  flist <- getME(fit, "flist")[[1]]
  Z <- getME(fit, "mmList")[[1]]
  e <- getME(fit, "y") - as.numeric(getME(fit, "X") %*% fixef(fit))
  each <- lapply(by_level(flist), function(rows) {
    m <- lm.fit(Z[rows, , drop = FALSE], e[rows])
    list(coef = m$coefficients, v = diag(solve(crossprod(Z[rows, , drop = FALSE]))) * sigma(fit)^2,
         sd = sqrt(sum(m$residuals^2) / (length(rows) - ncol(Z))))
  })
  coef <- t(sapply(each, `[[`, "coef"))
  v <- t(sapply(each, `[[`, "v"))
  list(levels = as.list(names(each)), coef = matrix_rows(coef), v = matrix_rows(v),
       sd = vec(sapply(each, `[[`, "sd")), chi_square = vec(colSums(coef^2 / v)))
}

# ---- effects -------------------------------------------------------------------------------------

table_of <- function(d) lapply(as.list(as.data.frame(d)), function(v) if (is.numeric(v)) vec(v) else words(v))

grid <- function(fit, m, method) {
  e <- suppressMessages(emmeans(fit, names(m$at), at = m$at, lmer.df = method, lmerTest.limit = 1e4, pbkrtest.limit = 1e4))
  specs <- if (is.null(m$trend[[2]])) ~ 1 else as.formula(paste("~", paste(c(m$trend[[2]], names(m$trend[[3]])), collapse = "*")))
  t <- suppressMessages(emtrends(fit, specs, var = m$trend[[1]], at = m$trend[[3]], lmer.df = method,
                                 lmerTest.limit = 1e4, pbkrtest.limit = 1e4))
  trend <- as.data.frame(t)
  names(trend)[grep("\\.trend$", names(trend))] <- "trend"
  list(means = table_of(e), pairs = table_of(pairs(e, adjust = "none", reverse = TRUE)), trends = table_of(trend))
}

# ---- all of a model ------------------------------------------------------------------------------

fit_one <- function(m) {
  fit <- suppressMessages(lmerTest::lmer(as.formula(m$formula), m$table))
  flist <- getME(fit, "flist")
  n <- nrow(m$table)
  blocks <- if (length(flist) == 1) by_level(flist[[1]]) else list(seq_len(n))
  r2 <- r2_nakagawa(fit, tolerance = 0)
  vif <- suppressWarnings(as.data.frame(check_collinearity(fit)))
  refitted <- NULL
  if (m$key == "sleep") {
    i <- influence(lme4::lmer(as.formula(m$formula), m$table), "Subject")
    refitted <- list(levels = as.list(rownames(i[["fixed.effects[-Subject]"]])),
                     fixef = matrix_rows(i[["fixed.effects[-Subject]"]]),
                     varcomps = matrix_rows(i[["var.cov.comps[-Subject]"]]),
                     names = as.list(colnames(i[["var.cov.comps[-Subject]"]])))
  }
  packages <- c("lme4", "lmerTest", "pbkrtest", "performance", "insight", "emmeans")
  out <- list(
    script_md5 = unname(tools::md5sum(script)), lme4_script_md5 = unname(tools::md5sum(other)),
    table = m$name, formula = m$formula,
    versions = c(list(R = R.version.string),
                 sapply(packages, function(p) as.character(packageVersion(p)), simplify = FALSE)),
    date = format(Sys.Date()), theta = vec(getME(fit, "theta")), sigma = one(sigma(fit)),
    names = as.list(names(fixef(fit))),
    r2 = list(marginal = one(r2$R2_marginal), conditional = one(r2$R2_conditional)),
    collinearity = list(term = as.list(words(vif$Term)), vif = vec(vif$VIF), se_factor = vec(vif$SE_factor)),
    hat = vec(hatvalues(fit)), fitted = vec(fitted(fit)),
    rows = deletions(fit, as.list(1:40), blocks),
    groups = sapply(names(flist), function(f) {
      sets <- by_level(flist[[f]])
      c(list(levels = as.list(names(sets))), deletions(fit, sets, blocks))
    }, simplify = FALSE),
    refitted = refitted, own = if (m$ols) own_estimates(fit) else NULL,
    satterthwaite = grid(fit, m, "satterthwaite"),
    kenward_roger = if (n < 1000) grid(fit, m, "kenward-roger") else NULL
  )
  text <- toJSON(out, auto_unbox = TRUE, json_verbatim = TRUE, null = "null", na = "null", pretty = 1)
  writeLines(text, file.path(home, "output", paste0(m$key, ".json")))
  cat(m$key, "\n")
}

wanted <- commandArgs(TRUE)
for (m in models) if (!length(wanted) || m$key == wanted[1]) fit_one(m)
